"""Reads and writes rows of features in the online store, without Feast's protocol buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from core.calendar import micros, moment
from core.errors import PatronError
from core.shop import Shop
from features.online.cells import Cells, CellStore
from features.online.columns import OnlineColumns, decode_lists
from features.online.columns import decode as decode_columns
from features.online.packed import (
    CellLayout,
    Columns,
    LayoutMismatch,
    Micros,
    Selection,
    decode,
    encode,
    moment_of,
)

KEY = "customer_key"
MANY = 200  # cells, above which numpy decodes faster
CLOCKS_APART = timedelta(minutes=1)  # allowed difference between machines' clocks; now is rounded to seconds
Snapshot: TypeAlias = pd.DataFrame | pa.Table
"""``customer_key``, ``as_of`` and the features of a group, one row per customer."""


@dataclass(frozen=True)
class OnlineRows:
    """Feature values of customers from the online store.

    Attributes:
        values: one list per feature, in the order of the requested keys; None if missing.
        as_of: per customer the oldest as_of of the requested groups; None for a customer without a row.
        moments: per group the as_of of each customer's cell, in microseconds since 1970; None if there is
            none.
    """

    values: dict[str, list[Any]]
    as_of: list[datetime | None]
    moments: dict[str, Sequence[int | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class OnlineReader:
    """Reads features of customers by key; threads may share it.

    Attributes:
        place: the cell store.
        selections: the requested features, by group.
        names: the features, in the order of the result.
    """

    place: CellStore
    selections: Mapping[str, Selection]
    names: Sequence[str]

    def __call__(self, keys: Sequence[int]) -> OnlineRows:
        """The features of customers.

        Raises:
            PatronError: the store is missing, cannot be read, or was filled by other definitions.
        """
        return self.unpack(self.fetch(keys))

    def fetch(self, keys: Sequence[int]) -> list[Cells]:
        """The packed cells of customers, per group.

        Raises:
            PatronError: the store is missing or cannot be read.
        """
        return self.place.read([int(key) for key in keys], list(self.selections))

    def unpack(self, cells: Sequence[Cells]) -> OnlineRows:
        """Decode fetched cells.

        Raises:
            PatronError: they were written by other definitions than the reader's.
        """
        parts = [unpacked(self.place, *both) for both in zip(self.selections.values(), cells, strict=True)]
        values = {name: column for part in parts for name, column in part.values.items()}
        moments = {group: part.as_of for group, part in zip(self.selections, parts, strict=True)}
        return OnlineRows({name: values[name] for name in self.names}, _oldest(parts), moments)

    def columns(self, cells: Sequence[Cells]) -> OnlineColumns:
        """The same as Arrow arrays, for bulk scoring.

        Raises:
            PatronError: as :meth:`unpack`.
        """
        try:
            parts = [decode_columns(*both) for both in zip(self.selections.values(), cells, strict=True)]
        except LayoutMismatch as error:
            raise _filled_otherwise(self.place, error) from error
        values = {name: column for part in parts for name, column in part.values.items()}
        moments = {group: part.as_of for group, part in zip(self.selections, parts, strict=True)}
        oldest = _oldest_column([part.as_of for part in parts])
        return OnlineColumns({name: values[name] for name in self.names}, oldest, moments)

    def only(self, names: Sequence[str]) -> OnlineReader:
        """A reader of some of the features, without access to the store.

        Raises:
            PatronError: a feature is not one of this reader's.
        """
        views = {name: view for view, part in self.selections.items() for name in part.names}
        if missing := [name for name in names if name not in views]:
            raise PatronError(f"the feature store does not hold {', '.join(missing)}; run `patron build`")
        layouts = {view: part.layout for view, part in self.selections.items()}
        return reader(self.place, layouts, {name: views[name] for name in names})

    def check(self, cells: Sequence[Cells]) -> None:
        """Refuse cells written by other definitions than the reader's.

        Raises:
            PatronError: there are such cells.
        """
        for selection, some in zip(self.selections.values(), cells, strict=True):
            digest = selection.layout.digest
            if not all(cell is None or cell.startswith(digest) for cell in some):
                raise _filled_otherwise(self.place, LayoutMismatch(selection.layout.view))


def reader(place: CellStore, layouts: Mapping[str, CellLayout], views: Mapping[str, str]) -> OnlineReader:
    """A reader of features.

    Args:
        layouts: by view.
        views: the view of each requested feature, in the order of the result.
    """
    parts = {
        view: Selection(layouts[view], [name for name in views if views[name] == view])
        for view in dict.fromkeys(views.values())
    }
    return OnlineReader(place, parts, list(views))


def unpacked(place: CellStore, selection: Selection, cells: Sequence[bytes | None]) -> Columns:
    """Decode the selected features of cells read from a store.

    Raises:
        PatronError: they were written by other definitions than the reader's.
    """
    try:
        return (decode if len(cells) < MANY else decode_lists)(selection, cells)
    except LayoutMismatch as error:
        raise _filled_otherwise(place, error) from error


def _filled_otherwise(place: CellStore, error: LayoutMismatch) -> PatronError:
    """The error for cells written by other definitions."""
    return PatronError(
        f"{place.name} has {error}, written by other definitions than the reader's; run `patron build`,"
        " and restart a service that was running before"
    )


def write(
    place: CellStore, layouts: Mapping[str, CellLayout], snapshots: Mapping[str, Snapshot], shop: Shop
) -> set[int]:
    """Write snapshots by group, those of the same customers together; return the customers' keys."""
    together: dict[tuple[int, ...], dict[str, list[bytes]]] = {}
    for group, snapshot in snapshots.items():
        rows = _table(snapshot)
        keys = tuple(rows[KEY].to_pylist())
        together.setdefault(keys, {})[group] = encode(layouts[group], rows, moments(rows))
    for keys, cells in together.items():
        place.write(keys, cells, latest_now(shop))
    return {key for keys in together for key in keys}


def erase_others(
    place: CellStore, views: Sequence[str], retained: set[int], until_us: int, shop: Shop
) -> None:
    """Delete customers who are not in ``retained``, unless they have newer rows.

    Args:
        until_us: a row newer than this is preserved, unless another clock wrote it.
    """
    others, now = list(set(place.keys()) - retained), latest_now(shop)
    rows = zip(*place.read(others, views), strict=True)
    newest = [max((moment_of(cell) for cell in row if cell), default=0) for row in rows]
    place.delete([key for key, at in zip(others, newest, strict=True) if at <= until_us or at > now])


def latest_now(shop: Shop) -> int:
    """The latest moment that can be now: a later one was written by another clock."""
    return micros(shop.now() + CLOCKS_APART)


def moments(snapshot: Snapshot) -> Micros:
    """The as_of of each row."""
    column = _table(snapshot)["as_of"].cast(pa.timestamp("us", "UTC"), safe=False)
    values: Micros = column.cast(pa.int64()).to_numpy()
    return values


def _table(snapshot: Snapshot) -> pa.Table:
    if isinstance(snapshot, pd.DataFrame):
        return pa.Table.from_pandas(snapshot, preserve_index=False)
    return snapshot


def _oldest(groups: Sequence[Columns]) -> list[datetime | None]:
    """Per customer the oldest moment of the groups; None for one without any."""
    rows = list(zip(*(group.as_of for group in groups), strict=True))
    # Most rows are equal.
    by_row = {row: min((at for at in row if at is not None), default=None) for row in set(rows)}
    as_of = {row: None if at is None else moment(at) for row, at in by_row.items()}
    return [as_of[row] for row in rows]


def _oldest_column(groups: Sequence[pa.Array]) -> pa.Array:
    """Per customer the oldest moment of the groups; null for one without any."""
    oldest: Any = pc.min_element_wise(*groups, skip_nulls=True)
    return oldest
