"""A decision for everybody, into a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from decisions.reasons import Language
from records import ScoreLog, runs
from records.decisions import DecisionLog
from records.job import COMMAND
from records.runs import RunStore
from serving.decisions.decider import Decider
from serving.decisions.rendering import rows
from serving.decisions.runs import decide_all, new_run
from serving.decisions.schemas import Row
from serving.files import exports
from serving.files.writing import check_place
from serving.scores.scorer import open_scorer

_NUMBERS = ("expected_value", "cost", "probability", "churn", "propensity", "clv")
KINDS = (".ndjson", ".csv", ".parquet")
_TYPES = {**dict.fromkeys(_NUMBERS, pa.float64()), "decided_at": pa.timestamp("us", "UTC")}


def recommend_everyone(
    home: Home,
    out: Path,
    segment: str | None,
    channels: Sequence[str] | None,
    language: Language,
    progress: Progress = silent,
    target: str | None = None,
) -> dict[str, Any]:
    """Decide for everybody in a segment into ``out`` (.ndjson, .csv or .parquet) and into the log.

    A run of the same request that was interrupted on the same day of the shop is resumed.

    Args:
        target: the program that a CSV is for; a spreadsheet for None.

    Returns:
        The run's id, for how many customers it was, and how many of them get which action.

    Raises:
        PatronError: the file's kind, its target, the segment or a channel is unknown, the actions
            cannot be used, another run is running, or a store is missing.
    """
    check_place(out, KINDS)
    if target is not None and out.suffix != ".csv":
        raise PatronError(f"{out}: {target} imports CSV; let the name of the file end in .csv")
    exports.layout(target)
    progress("opening models", 0.0)
    home.shop()  # before a log is made where there is no shop
    with ScoreLog(home) as scores, DecisionLog(home) as log:
        decider = Decider(open_scorer(home, scores), log)
        store = RunStore(log)
        run = new_run(decider.question(decider.rules(), channels, "cli"), segment, language, COMMAND)
        keys = np.array([*decider.segment(segment)], np.int64)
        store.refuse_if_running()
        run = store.interrupted_command(
            segment=segment, channels=run.channels, language=language, rules=run.rules
        ) or store.create(run, [keys])
        with store.execute(run):
            decide_all(decider, store, run, progress)
        records = (row for _, row in rows(log, decider.scorer.identity, run))
        with files.replacing(out) as draft:
            _write(out.suffix, language, target, records, draft)
        counted = runs.counts(log, run.id)
    return {"run_id": run.id, "customers": run.total, "out": str(out), "actions": counted}


def _write(
    suffix: str, language: Language, target: str | None, records: Iterable[Mapping[str, Any]], path: Path
) -> None:
    if suffix == ".parquet":
        schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Row.model_fields])
        pq.write_table(pa.Table.from_pylist(list(records), schema), path)
        return
    _, chunks = exports.stream(records, "csv" if suffix == ".csv" else "ndjson", language, target)
    with open(path, "wb") as file:
        file.writelines(chunks)
