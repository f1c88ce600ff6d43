"""A request for decisions, and what it reads of budgets."""

from __future__ import annotations

from core.calendar import day_of
from decisions.catalogue.actions import Actions
from decisions.catalogue.budgets import period_days
from decisions.policies.budgets import AHEAD_DAYS, BudgetUse
from decisions.policies.prices import BudgetPrice
from records.contacts.spending import Spent
from records.decision import DecisionRequest
from records.decisions import DecisionLog
from records.plans import releases
from serving.scores.scorer import Scorer


def request_now(
    scorer: Scorer,
    rules: Actions,
    channels: tuple[str, ...] | None,
    caller: str,
    run_id: str | None = None,
) -> DecisionRequest:
    """A request for decisions at the present moment.

    In a shop whose clock stands still, only reservations and uses by these rules count, and budgets count the
    day of the wall clock, in the shop's zone.
    """
    shop = scorer.shop
    now = shop.now()
    day = day_of(now, shop.time_zone)
    spending_day = day if shop.live else day_of(scorer.home.wall(), shop.time_zone)
    limits, ahead = rules.spending_limits, range(spending_day, spending_day + AHEAD_DAYS)
    return DecisionRequest(
        now, day, channels, rules.digest, caller, run_id, None if shop.live else rules.digest,
        spending_day, period_days(limits, ahead) if limits else None,
    )  # fmt: skip


def budget_use(spent: Spent, question: DecisionRequest, zone: str) -> BudgetUse:
    """What was used of budgets, as the checks of decisions read it.

    Args:
        zone: the shop's time zone.
    """
    spending_day = question.day if question.spending_day is None else question.spending_day
    return BudgetUse(spent.rows, question.day, spending_day, zone)


def steering_prices(log: DecisionLog) -> list[BudgetPrice]:
    """The prices of budgets by the newest released plan."""
    with log.reading() as connection:
        prices = releases.newest_prices(connection)
    return [BudgetPrice(**price | {"actions": frozenset(price["actions"])}) for price in prices]
