"""What a place for cells must do; SQLite and Redis are two such places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from features.online.packed import CellLayout

Cells = list[bytes | None]
"""One cell per customer asked for, in order; None where there is none."""


class CellStore(Protocol):
    """One row per customer, with one cell per feature view; safe to use from many threads.

    Attributes:
        name: what and where it is, for messages; without credentials.
    """

    name: str

    @property
    def version(self) -> str:
        """What keeps the rows, and its version."""
        ...

    def prepare(self, layouts: Sequence[CellLayout]) -> None:
        """Make room for the views; cells that other definitions left there are cleared."""

    def drop(self, views: Sequence[str]) -> None:
        """Forget views and all their cells."""

    def write(self, keys: Sequence[int], cells: Mapping[str, Sequence[bytes]], now_us: int) -> None:
        """Put cells of one view or more, all of the same customers, into their rows.

        A cell stays where it is newer than the one to be written, so that a slow batch does not undo
        what happened meanwhile; unless it is from after ``now_us``, by another clock.

        Args:
            cells: per view one per key.
            now_us: the present, in microseconds since 1970.
        """

    def read(self, keys: Sequence[int], views: Sequence[str]) -> list[Cells]:
        """Per view the cells of customers, in one round trip.

        Raises:
            NothingThere: nothing was ever written here.
            PatronError: the place cannot be read.
        """
        ...

    def keys(self) -> list[int]:
        """All customers who have a row."""
        ...

    def delete(self, keys: Sequence[int]) -> None:
        """Erase the rows of customers; those without one are passed over."""

    def clear(self) -> None:
        """Erase everything."""
