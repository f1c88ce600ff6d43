"""A decision for everybody, into a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from decisions.reasons import Language
from records import ScoreLog, runs
from records.decisions import DecisionLog
from records.job import COMMAND, Segment
from records.runs import DecisionRun, RunStore
from serving.decisions.decider import Decider
from serving.decisions.rendering import rows
from serving.decisions.runs import decide_all, new_run
from serving.decisions.schemas import Row
from serving.decisions.selection import read_rule, select_keys
from serving.files import exports
from serving.files.layouts import ExportLayout, find_layout
from serving.files.writing import check_place
from serving.scores.scorer import open_scorer

_NUMBERS = ("expected_value", "cost", "probability", "churn", "propensity", "clv")
KINDS = (".ndjson", ".csv", ".xlsx", ".parquet")
LAID_OUT = (".csv", ".xlsx")
"""The kinds of files that have a layout."""
_TYPES = {
    **dict.fromkeys(_NUMBERS, pa.float64()),
    **dict.fromkeys(("decided_at", "send_at"), pa.timestamp("us", "UTC")),
}


@dataclass(frozen=True, kw_only=True)
class DecisionFile:
    """The file that decisions are written into.

    Attributes:
        out: .ndjson, .csv, .xlsx or .parquet.
        target: the program that a .csv or .xlsx is for; a spreadsheet for None.
        own_layouts: a file of layouts in place of those that come with Patron.
    """

    out: Path
    target: str | None = None
    own_layouts: Path | None = None

    def layout(self) -> ExportLayout | None:
        """Its layout, once its place is checked; None for a file with a fixed form.

        Raises:
            PatronError: its kind or its target is unknown, or it cannot be written.
        """
        check_place(self.out, KINDS)
        return find_layout_of(self.out, self.target, self.own_layouts)


@dataclass(frozen=True, kw_only=True)
class RecommendRequest(DecisionFile):
    """Whom to decide for, and the file of the decisions.

    Attributes:
        rule: only customers who match this rule; None for all of the segment.
        channels: the requested channels; None for all.
        only_actions: leave the customers out of the file for whom nothing is to be done.
    """

    segment: Segment = None
    rule: str | None = None
    channels: Sequence[str] | None = None
    language: Language = "en"
    only_actions: bool = False


def recommend_everyone(
    home: Home, request: RecommendRequest, progress: Progress = silent, *, release: bool = False
) -> dict[str, Any]:
    """Decide for everybody in a segment into a file and into the log.

    A run of the same request that was interrupted on the same day of the shop is resumed.

    Args:
        release: count the actions as contacts, since the file is going to be sent.

    Returns:
        The run's id, for how many customers it was, the files, and how many customers get which action.

    Raises:
        PatronError: the file's kind, its target, the segment or a channel is unknown, the actions
            cannot be used, another run is running, or a store is missing.
    """
    layout = request.layout()
    progress("opening models", 0.0)
    with open_decider(home) as decider:
        run = decide_run(
            decider, request.segment, request.channels, request.language, progress, rule=request.rule
        )
        paths = write_run(decider, run, request.out, layout, only_actions=request.only_actions)
        counted = runs.counts(decider.log, run.id)
        released = runs.release(decider.log, run.id, home.shop().now()) if release else 0
    return {
        "run_id": run.id, "released": released, "customers": run.total, "out": str(request.out),
        "files": [str(path) for path in paths], "actions": counted,
    }  # fmt: skip


@contextmanager
def open_decider(home: Home) -> Iterator[Decider]:
    """A decider over a home, with its logs.

    Raises:
        PatronError: there is no shop, or a store is missing.
    """
    home.shop()  # before a log is made where there is no shop
    with ScoreLog(home) as scores, DecisionLog(home) as log:
        yield Decider(open_scorer(home, scores), log)


def decide_run(
    decider: Decider,
    segment: Segment,
    channels: Sequence[str] | None,
    language: Language,
    progress: Progress = silent,
    *,
    rule: str | None = None,
) -> DecisionRun:
    """Decide for everybody in a segment; a run of the same request that was interrupted today is resumed.

    Args:
        rule: only customers who match this rule.

    Raises:
        PatronError: the segment, the rule or a channel is wrong, the actions cannot be used, or another run
            is running.
    """
    store = RunStore(decider.log)
    rules = decider.rules()
    matched = read_rule(decider.scorer.home, rules, rule)
    run = new_run(decider.question(rules, channels, "cli"), segment, language, COMMAND, matched)
    keys = select_keys(decider.scorer, segment, matched)
    store.refuse_if_running()
    run = store.interrupted_command(
        segment=segment,
        channels=run.channels,
        language=language,
        rules=run.rules,
        rule=run.rule,
        plan=None,
    ) or store.create(run, [keys])
    with store.execute(run):
        decide_all(decider, store, run, progress)
    return run


def write_run(
    decider: Decider,
    run: DecisionRun,
    out: Path,
    layout: ExportLayout | None,
    *,
    only_actions: bool = False,
    max_mb: float | None = None,
) -> list[Path]:
    """Write the rows of a finished run into a file, or into several where its size is limited.

    Args:
        layout: of a .csv or .xlsx.
        max_mb: the largest size of a file besides what the layout says, in 1,000,000 bytes; not of .parquet.

    Returns:
        The files.
    """
    records = (row for _, row in rows(decider.log, decider.scorer.identity, run, only_actions=only_actions))
    zone = decider.scorer.shop.time_zone
    return write_records(records, out, cast(Language, run.language), layout, zone, max_mb)


def write_records(
    records: Iterable[Mapping[str, Any]],
    out: Path,
    language: Language,
    layout: ExportLayout | None,
    zone: str,
    max_mb: float | None = None,
) -> list[Path]:
    """Write rows into a file, or into several where its size is limited; returns the files.

    Args:
        layout: of a .csv or .xlsx. zone: the shop's time zone.
        max_mb: as for :func:`write_run`.
    """
    if out.suffix != ".parquet":
        return exports.write_files(records, out, language, layout, zone, max_mb)
    schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Row.model_fields])
    with files.replacing(out) as draft:
        pq.write_table(pa.Table.from_pylist(list(records), schema), draft)
    return [out]


def find_layout_of(out: Path, target: str | None, own: Path | None) -> ExportLayout | None:
    """The layout of a file for people or CRMs; None for a file with a fixed form.

    Raises:
        PatronError: there is no such layout, or files of this kind have none.
    """
    if out.suffix in LAID_OUT:
        return find_layout(target, own)
    if target is not None or own is not None:
        kinds = " or ".join(LAID_OUT)
        raise PatronError(
            f"{out}: --for and --layout are for {kinds}; let the name of the file end in one of these"
        )
    return None
