"""A company's own table scored by the model that was trained on one like it: file in, file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.errors import NothingThere
from core.progress import Progress, silent
from events.files.table import Table, open_table
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from models.tables.columns import matrix_of
from serving.files import tables, writing


def score_table(
    registry: Registry,
    place: str | Path,
    name: str,
    out: Path,
    progress: Progress = silent,
    version: str | None = None,
) -> dict[str, Any]:
    """Score every row of a table by a model's champion, into ``out`` (.parquet, .ndjson, .csv or .xlsx).

    The rows are ``row`` (from 1, in the table's order), the columns that name customers, ``MODEL``,
    ``MODEL_percentile`` and ``MODEL_version``. Every row gets a score: what the model does not know,
    such as a new category or an infinite number, counts as missing, and is counted in the notes.

    Args:
        version: of the model, champion or not, whose user's estimator may run; None for the champion.

    Raises:
        PatronError: there is no such model, version or champion, or the table lacks a column that it reads.
    """
    writing.check_place(out, tables.KINDS)
    if name not in registry.table_models():
        there = ", ".join(registry.table_models()) or "none"
        raise NothingThere(
            f"no model {name!r} was trained on a table; those that were: {there}"
            " (`patron train --table FILE` trains one)"
        )
    progress("opening the model", 0.0)
    model = registry.champion(name) if version is None else registry.open(name, version, run_own_file=True)
    progress("reading", 0.1)
    table = open_table(place)
    x, notes = matrix_of(table, model.columns)
    progress("scoring", 0.5)
    rows = _rows(table, model, model.score_matrix(x))
    tables.write(iter([rows]), out)
    progress("scoring", 1.0)
    return {
        "customers": table.rows, "out": str(out), "model": name, "version": model.version,
        "notes": [*table.notes, *notes],
    }  # fmt: skip


def _rows(table: Table, model: FittedModel, scores: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Table:
    present = [name for name in model.manifest["identifiers"] if name in table.names]
    columns: dict[str, Any] = {
        "row": pa.array(np.arange(1, table.rows + 1)),
        **table.typed(dict.fromkeys(present, "string")),
        model.name: pa.array(scores),
        f"{model.name}_percentile": pa.array(np.round(model.percentiles(scores), 1)),
        f"{model.name}_version": pa.array([model.version] * table.rows).dictionary_encode(),
    }
    return pa.table(columns)
