"""The interface of cell stores, implemented for SQLite and Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from core import home_id
from core.errors import NothingThere
from core.home_id import HomeId
from features.online.packed import CellLayout

Cells = list[bytes | None]
"""One cell per requested customer, in order; None for those without one."""


Owner: TypeAlias = Callable[[], HomeId | None]
"""Returns the id of the home that reads and writes a store; None for a home without one."""


def nobody() -> HomeId | None:
    """The owner of a store that belongs to no home."""
    return None


def check_owner(name: str, own: HomeId | None, stored: str | None, restored: str = "") -> None:
    """Refuse a store with rows of another home, or of the own one before it was restored from a backup.

    Args:
        name: the store's. stored, restored: the id in the store, and the token of the restore before which
            it was filled.

    Raises:
        AnotherHome: it belongs to another home.
        NothingThere: it was filled before the restore.
    """
    mine = stored == own.id or (stored is None and own.adopted) if own is not None else stored is None
    if not mine:
        raise home_id.refuse(name, stored, own, "PATRON_ONLINE_STORE")
    if own is not None and stored is not None and restored != own.restored:
        raise NothingThere(
            f"{name} has features from before the home was restored from a backup; run `patron build`"
        )


class CellStore(Protocol):
    """A row per customer, with a cell per feature view; thread-safe. It belongs to one home.

    Every method but ``version`` raises :class:`core.home_id.AnotherHome` if the store is another home's.

    Attributes:
        name: the kind and location of the store, for messages; without credentials.
    """

    name: str

    @property
    def version(self) -> str:
        """The storage engine and its version."""
        ...

    def prepare(self, layouts: Sequence[CellLayout]) -> None:
        """Prepare the views, and take over an empty store for the home; cells written by other definitions,
        or before the home was restored from a backup, are cleared.
        """

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

    def owner(self) -> str | None:
        """The id of the home to which the store belongs; None if it is empty or of an earlier release."""
        ...

    def clear(self) -> None:
        """Erase everything."""
