"""The commands that plan, release a plan, and write who gets what into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.errors import NothingThere
from core.home import Home
from core.progress import Progress, silent
from decisions.reasons import Language
from records.decisions import DecisionLog
from records.job import COMMAND, Segment
from records.plans.store import PlanJob, PlanStore
from records.runs import DecisionRun, RunStore
from serving.decisions.budgets.planned import new_release, planned_keys
from serving.decisions.decider import Decider
from serving.decisions.runs import decide_all
from serving.decisions.selection import select_keys
from serving.decisions.to_file import DecisionFile, open_decider, write_run
from serving.files import tables, writing
from serving.plans.background import compute, new_plan
from serving.plans.report import summary
from serving.plans.schemas import PlanRow
from serving.plans.state import plan_report, plan_rows, release_state
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
    """Plan for a segment, store the plan, and write it into ``out`` (.parquet, .ndjson or .csv) if given.

    Returns:
        The report as JSON has it with the plan's id, and in lines of English.

    Raises:
        PatronError: the file's kind, the segment or a channel is unknown, a budget cannot be met, another
            plan is being made, or a store is missing.
    """
    if out is not None:
        writing.check_place(out, tables.KINDS)
    progress("opening models", 0.0)
    shop, store = home.shop(), PlanStore(home)
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        plan = new_plan(decider, segment, channels, language, money, COMMAND, "cli")
        keys = select_keys(decider.scorer, segment)
        store.refuse_if_running()
        plan = store.create(plan, [keys])
        with store.execute(plan):
            compute(decider, store, plan, progress)
        if out is not None:
            rows = [row.model_dump() for row in plan_rows(decider, store, plan)]
            content = iter([pa.Table.from_pylist(rows, SCHEMA)])
            writing.write(tables.encoded(content, tables.kind_of(out), shop.time_zone), out)
    made = plan_report(store, plan)
    lines = summary(made, shop.currency)
    return {"plan_id": plan.id, **made.model_dump(mode="json")}, [f"plan {plan.id}", *lines]


def release_plan(
    home: Home, plan_id: str, file: DecisionFile | None = None, progress: Progress = silent
) -> tuple[dict[str, Any], list[str]]:
    """Release a plan, and write its decisions into a file if one is given; resumes a release that was
    interrupted.

    Returns:
        The release as JSON has it, and in lines of English.

    Raises:
        NotReleasable: the plan cannot be released; the message says why.
        PatronError: there is no such plan, the file's kind or target is unknown, another run is running, or a
            store is missing.
    """
    layout = None if file is None else file.layout()
    progress("opening models", 0.0)
    plan = PlanStore(home).find(plan_id)
    if plan is None:
        raise NothingThere("there is no such plan; `patron plan` makes one and prints its id")
    with open_decider(home) as decider:
        store = RunStore(decider.log)
        run = release_by(decider, store, plan, progress)
        paths = [] if file is None else write_run(decider, run, file.out, layout, only_actions=True)
        state = release_state(decider, run)
    lines = [f"{state.reserved:,} of {state.total:,} planned actions are decided and reserved"]
    lines += [f"  {part.customers:>9,}  not: {part.words.en}" for part in state.not_reserved]
    return state.model_dump(mode="json") | {"files": [str(path) for path in paths]}, lines


def release_by(decider: Decider, store: RunStore, plan: PlanJob, progress: Progress = silent) -> DecisionRun:
    """Release a plan, or resume the run that began to; a plan that was released stays as it is.

    Returns:
        The run as it is stored now: ``interrupted`` if ``progress`` raised
        :class:`~records.job.Interrupted`, else ``done``.

    Raises:
        NotReleasable: the plan cannot be released; the message says why.
        JobRunning: another run is running.
        PatronError: a store is missing.
    """
    run = store.find(plan.id)
    if run is None:
        store.refuse_if_running()
        run = store.create(new_release(decider, plan, COMMAND, "cli"), [planned_keys(decider, plan)])
    if run.status != "done":
        with store.execute(run):
            decide_all(decider, store, run, progress)
    return store.find(run.id) or run
