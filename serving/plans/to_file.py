"""The command that plans, and writes who gets what into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.home import Home
from core.progress import Progress, silent
from decisions.reasons import Language
from records.decisions import DecisionLog
from records.job import Segment
from serving.decisions.decider import Decider
from serving.files import tables, writing
from serving.plans.planner import plan_shop
from serving.plans.report import all_rows, report, summary
from serving.plans.schemas import PlanRow
from serving.scores.scorer import open_scorer

_NUMBERS = ("expected_value", "expense")
SCHEMA = pa.schema(
    [(name, pa.float64() if name in _NUMBERS else pa.string()) for name in PlanRow.model_fields]
)


def plan_everyone(
    home: Home,
    out: Path | None,
    money: float | None,
    segment: Segment,
    channels: Sequence[str] | None,
    language: Language,
    progress: Progress = silent,
) -> tuple[dict[str, Any], list[str]]:
    """Plan for a segment, into ``out`` (.parquet, .ndjson, .csv or .xlsx) if given.

    Returns:
        The report as JSON has it, and in lines of English.

    Raises:
        PatronError: the file's kind, the segment or a channel is unknown, a budget cannot be met, or a store
            is missing.
    """
    if out is not None:
        writing.check_place(out, tables.KINDS)
    progress("opening models", 0.0)
    shop = home.shop()
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        rules = decider.rules()
        question = decider.question(rules, channels, "cli")
        planned = plan_shop(decider, question, rules, segment, money, progress)
    if out is not None:
        rows = [row.model_dump() for row in all_rows(planned, language)]
        tables.write(iter([pa.Table.from_pylist(rows, SCHEMA)]), out)
    made = report(planned, language)
    return made.model_dump(mode="json"), summary(planned, made, shop.currency)
