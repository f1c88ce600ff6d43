"""Everyone's scores, into a file."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from features.errors import PatronError
from features.home import Home
from features.logs import ScoreLog
from features.progress import Progress, silent
from serving.scorer import CustomerScores, open_scorer

BATCH = 1000
_WRITERS = {".parquet": pq.write_table, ".csv": pyarrow.csv.write_csv}


def score_everyone(
    home: Home, out: Path, models: Sequence[str], progress: Progress = silent
) -> dict[str, Any]:
    """Score all customers into ``out`` (.parquet or .csv) and into the log.

    Returns:
        How many customers were scored, and per model without a champion why.

    Raises:
        PatronError: the file's kind is unknown, no model has a champion, or a store is missing.
    """
    check_place(out, _WRITERS)
    progress("opening models", 0.0)
    home.shop()  # before a log is made where there is no shop
    with ScoreLog(home) as log:
        scorer = open_scorer(home, log)
        champions = scorer.champions
        names = [name for name in models if name in champions.models]
        absent = {name: champions.absent[name] for name in models if name in champions.absent}
        if not names:
            raise PatronError("; ".join(absent.values()))
        ids = scorer.identity.table()["customer_id"].to_pylist()
        rows: list[dict[str, Any]] = []
        for start in range(0, len(ids), BATCH):
            progress("scoring", start / len(ids))
            rows += [_row(entry) for entry in scorer.score(ids[start : start + BATCH], names, "bulk")]
            log.wait()
    draft = draft_of(out)
    _WRITERS[out.suffix](_table(rows), draft)
    os.replace(draft, out)
    progress("scoring", 1.0)
    return {"customers": len(rows), "out": str(out), "models": names, "absent": absent}


def check_place(out: Path, kinds: Collection[str]) -> None:
    """Refuse a file of a kind that cannot be written, or in a folder that is not there."""
    if out.suffix not in kinds:
        raise PatronError(f"{out}: a file name must end in {' or '.join(kinds)}")
    if not out.absolute().parent.is_dir():
        raise PatronError(f"{out}: there is no folder {out.absolute().parent}; make it first")


def draft_of(out: Path) -> Path:
    """Where a file is written until it is whole."""
    return out.with_suffix(f".draft{out.suffix}")


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as written: moments to the second, in UTC."""
    table = pa.Table.from_pylist(rows)
    place = table.schema.get_field_index("features_as_of")
    moments = (
        table["features_as_of"].cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("s", "UTC"), safe=False)
    )
    return table.set_column(place, "features_as_of", moments)


def _row(entry: CustomerScores) -> dict[str, Any]:
    row: dict[str, Any] = {"customer_id": entry.customer_id, "features_as_of": entry.features_as_of}
    for name, score in entry.scores.items():
        row |= {
            name: score.score,
            f"{name}_percentile": score.percentile,
            f"{name}_version": score.version,
            f"{name}_reason": score.reason,
        }
    return row
