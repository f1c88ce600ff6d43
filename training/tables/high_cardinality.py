"""Columns with many categories: encoded by their mean outcome, or left out if that says nothing.

Trees would split many categories by the very outcomes that they are fitted to, and so learn chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.estimator import Array
from models.estimators.target_encoding import fit_encoding
from models.registry.encoding import Column
from training.tables.labelled import Labelled, Rows

MANY = 16
"""Columns with more categories are encoded."""
_SIGNIFICANT = 1.64  # standard errors: a one-sided test at 5 %


def with_encoded_categories(data: Labelled, rows: Rows, encode: bool = True) -> Labelled:
    """The table with the decision about each column of many categories, by the evidence of the training rows.

    A column is encoded if its encoding, out of fold, ranks the outcomes significantly better than chance
    (Spearman's rank correlation). Otherwise it is left out, unless no column would remain.

    Args:
        encode: whether the estimator uses the encoding; the notes say what it uses instead.
    """
    columns = data.columns(rows)
    many = {i: len(c.vocabulary) for i, c in enumerate(columns) if len(c.vocabulary) > MANY}
    if not many:
        return data
    y = data.y[rows]
    _, encoded = fit_encoding(data.x(columns)[rows], y, many)
    useless = {
        columns[i].name: f"has {count} categories that predict {data.target} no better than chance"
        for i, count in many.items()
        if not _correlated(encoded[:, i], y)
    }
    types = {name: dtype for name, dtype in data.understood.types.items() if name not in useless}
    if not types:
        types, useless = data.understood.types, {}
    used = {columns[i].name: count for i, count in many.items() if columns[i].name in types}
    how = f"are encoded by their mean {data.target}, out of fold" if encode else "become indicators"
    notes = (f"{name}: {count} categories {how}" for name, count in used.items())
    understood = replace(data.understood, types=types, left_out=data.understood.left_out | useless)
    return replace(data, understood=understood, encoded=tuple(used), notes=(*data.notes, *notes))


def encoded_columns(columns: Sequence[Column], encoded: Sequence[str]) -> Mapping[int, int]:
    """By position of each encoded column the number of its categories."""
    return {i: len(column.vocabulary) for i, column in enumerate(columns) if column.name in encoded}


def _correlated(values: Array, y: Array) -> bool:
    from scipy.stats import rankdata

    if np.ptp(values) == 0:
        return False
    correlation = np.corrcoef(rankdata(values), rankdata(y))[0, 1]
    return bool(correlation * np.sqrt(len(y) - 1) > _SIGNIFICANT)
