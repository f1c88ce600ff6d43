"""The rows of a table with a known outcome, and the kind of outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from events.files.table import Table
from models.estimator import Array
from models.outliers import cap_of, winsorized
from models.registry.encoding import Column
from models.tables.columns import Understood, columns_of, matrix_of, understand

MINIMUM_CUSTOMERS, MINIMUM_OUTCOMES = 200, 100
FEW_VALUES = 5  # may be shown in a message; more may be names
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """The customers with a known outcome, in the file's order.

    Attributes:
        kind: ``probability`` (of ``y`` being 1) or ``money`` (``y``, in the shop's currency).
        positive: the value for an outcome that happened, such as ``yes``; empty for money.
        places: each customer's row in the table, from 0.
        moments: the moment of each row, in any unit that rises with time; None if not known.
        notes: rows left out and values converted, as text.
        confirmed: columns that the user says are known before the outcome, so are no leaks.
        encoded: columns whose categories are replaced by their mean outcome.
    """

    table: Table
    target: str
    time: str | None
    dropped: tuple[str, ...]
    kind: str
    understood: Understood
    positive: str
    places: Rows
    y: Array
    moments: Array | None
    notes: tuple[str, ...]
    confirmed: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()

    def columns(self, rows: Rows) -> tuple[Column, ...]:
        """The columns to train on, with the categories of these rows."""
        return columns_of(self.table, self.understood.types, self.places[rows])

    def x(self, columns: Sequence[Column]) -> Array:
        """The features of all customers as a matrix of these columns."""
        return matrix_of(self.table, columns)[0][self.places]


def digest(x: Array, y: Array) -> str:
    """SHA-256 of features and outcomes, to about seven digits."""
    return hashlib.sha256(np.column_stack([x, y]).astype(np.float32).tobytes()).hexdigest()


def label(
    table: Table,
    target: str,
    time: str | None = None,
    drop: Collection[str] = (),
    confirm: Collection[str] = (),
) -> Labelled:
    """Read the outcome and the time, and classify the other columns.

    A blank outcome, or one that is not a finite number, is unknown: such rows are left out and counted.

    Args:
        target: 0 and 1, yes and no (or true and false), or an amount of money.
        time: the moment of each row: ISO 8601, or numbers that rise with time.
        drop: columns to ignore.
        confirm: columns that are known before the outcome, so are no leaks.

    Raises:
        PatronError: a column is missing, the target is none of these, or too few outcomes are known.
    """
    table.need([target, *drop, *confirm, *([time] if time else [])])
    if target in drop or target == time:
        raise PatronError(f"{target} is the target; it can be neither dropped nor the time")
    kind, outcome = _outcome(table, target)
    known = np.isfinite(outcome)
    places = np.flatnonzero(known)
    y, notes = outcome[known], list(table.notes)
    if repeated := table.repeated():
        notes.append(
            f"{repeated:,} rows are the same as another one in every column; each counts as a customer"
        )
    if len(y) < len(outcome):
        notes.append(f"{len(outcome) - len(y):,} rows without a known {target} are left out")
    if kind == "money" and (y < 0).any():
        notes.append(f"{int((y < 0).sum()):,} amounts of {target} below 0 count as 0")
        y = np.maximum(y, 0.0)
    if kind == "money" and (outliers := int((y > cap_of(y)).sum())):
        notes.append(f"{outliers:,} amounts of {target} above {cap_of(y):,.0f} count as that")
        y = winsorized(y)
    _refuse_if_poor(table, target, kind, y)
    understood = understand(table, {target, *drop, *([time] if time else [])})
    positive = "yes" if table.profile(target).truths else "1"
    moments = None if time is None else _moments(table, time)[places]
    all_notes = (*notes, *understood.notes)
    return Labelled(
        table, target, time, tuple(drop), kind, understood, positive, places, y, moments, all_notes,
        tuple(confirm),
    )  # fmt: skip


def _outcome(table: Table, target: str) -> tuple[str, Array]:
    """The kind of the outcome, and the outcome of every row; NaN if it is unknown."""
    profile = table.profile(target)
    stated = profile.filled - profile.unknown
    if not stated:
        raise PatronError(f"{table.place}: no row has a known {target}")
    if profile.truths and profile.truths == stated:
        return "probability", table.numbers(target, "boolean")
    if profile.numbers + profile.infinite < stated:
        few = profile.distinct <= FEW_VALUES
        contents = (
            ", ".join(map(repr, table.values(target))) if few else f"{profile.distinct:,} different texts"
        )
        raise PatronError(
            f"{table.place}: {target} holds {contents}; it must be 0 and 1, yes and no, or an amount of money"
        )
    outcome = table.numbers(target)
    values = np.unique(outcome[np.isfinite(outcome)])
    if set(values) <= {0.0, 1.0}:
        return "probability", outcome
    if len(values) <= 2:
        raise PatronError(
            f"{table.place}: {target} holds only {' and '.join(f'{v:g}' for v in values)}; write 0 and 1, or"
            " yes and no, for what happened or did not"
        )
    return "money", outcome


def _moments(table: Table, time: str) -> Array:
    profile = table.profile(time)
    dtype = "float64" if profile.numbers >= profile.moments else "moment"
    moments = table.numbers(time, dtype)
    if lacking := int((~np.isfinite(moments)).sum()):
        raise PatronError(
            f"{table.place}: {lacking:,} of {len(moments):,} rows have no time that can be read in {time};"
            " write times as 2024-05-31 or 2024-05-31 14:00:00 in every row, or leave --time out"
        )
    return moments


def _refuse_if_poor(table: Table, target: str, kind: str, y: Array) -> None:
    if len(y) < MINIMUM_CUSTOMERS:
        raise PatronError(
            f"{table.place}: {len(y):,} customers have a known {target}, and it takes {MINIMUM_CUSTOMERS}"
        )
    having = int((y > 0).sum())
    fewer = min(having, len(y) - having) if kind == "probability" else having
    if fewer < MINIMUM_OUTCOMES:
        of_each = " of each kind" if kind == "probability" else ""
        raise PatronError(
            f"{table.place}: {having:,} of {len(y):,} customers have a {target} above 0, and it takes"
            f" {MINIMUM_OUTCOMES}{of_each}"
        )
