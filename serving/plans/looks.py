"""A look at a plan, for a page: it is computed at once and not stored."""

from __future__ import annotations

from decisions.plans.problem import Infeasible
from records.job import segment_of
from serving.decisions.decider import Decider
from serving.decisions.selection import select_customers
from serving.http.problems import Unprocessable
from serving.plans.planner import plan_shop
from serving.plans.report import report, rows, table
from serving.plans.schemas import PlanReport, PlanRequest, PlanRow


def look(decider: Decider, request: PlanRequest, caller: str, limit: int) -> tuple[PlanReport, list[PlanRow]]:
    """What a plan would do, and its most valuable customers; nothing is written.

    Args:
        limit: so many customers are listed.

    Raises:
        Unprocessable: the segment or a channel is unknown, or a budget cannot be met; the text names it.
        PatronError: a store is missing or unreadable.
    """
    rules = decider.rules()
    question = decider.question(rules, request.channels, caller)
    keys = [*select_customers(decider.scorer, segment_of(request.segment))]
    try:
        planned = plan_shop(decider, question, rules, keys, request.budget)
    except Infeasible as error:
        raise Unprocessable(str(error)) from error
    listed = rows(
        table(planned).slice(0, limit), decider.scorer.identity, decider.offers, rules.canonical,
        request.language,
    )  # fmt: skip
    return report(planned, request.language), [*listed]
