"""The interface of cell stores, implemented for SQLite and Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from features.online.packed import CellLayout

Cells = list[bytes | None]
"""One cell per requested customer, in order; None for those without one."""


class CellStore(Protocol):
    """A row per customer, with a cell per feature view; thread-safe.

    Attributes:
        name: the kind and location of the store, for messages; without credentials.
    """

    name: str

    @property
    def version(self) -> str:
        """The storage engine and its version."""
        ...

    def prepare(self, layouts: Sequence[CellLayout]) -> None:
        """Prepare the views; cells written by other definitions are cleared."""

    def drop(self, views: Sequence[str]) -> None:
        """Remove views and all their cells."""

    def write(self, keys: Sequence[int], cells: Mapping[str, Sequence[bytes]], now_us: int) -> None:
        """Write cells of one or more views, all for the same customers, into their rows.

        A stored cell that is newer than the written one is preserved, so that a slow batch does not undo
        later updates; unless it is from after ``now_us``, written by another clock.

        Args:
            cells: per view one cell per key.
            now_us: the present, in microseconds since 1970.
        """

    def read(self, keys: Sequence[int], views: Sequence[str]) -> list[Cells]:
        """The cells of customers per view, in one round trip.

        Raises:
            NothingThere: nothing was written yet.
            PatronError: the store cannot be read.
        """
        ...

    def keys(self) -> list[int]:
        """All customers with a row."""
        ...

    def delete(self, keys: Sequence[int]) -> None:
        """Delete the rows of customers; missing ones are ignored."""

    def clear(self) -> None:
        """Erase everything."""
