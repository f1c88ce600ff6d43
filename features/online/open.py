"""Opens the cell store at an address: Redis, or an SQLite file."""

from __future__ import annotations

from pathlib import Path

from core.errors import PatronError
from features.online.cells import CellStore, Owner, nobody
from features.online.sqlite import SqliteCells


def open_cells(address: str, patience_s: float | None = None, owner: Owner = nobody) -> CellStore:
    """Return the cell store at ``redis://host:port/db`` or at the path of an SQLite file.

    Nothing is connected or created yet.

    Args:
        patience_s: the maximum number of seconds that a reader waits for the store.
        owner: the home whose store it is.

    Raises:
        PatronError: the address is of another kind, or the client for it is not installed.
    """
    patience = () if patience_s is None else (patience_s,)
    if address.startswith(("redis://", "rediss://")):
        from features.online.redis import RedisCells  # importing its client takes a tenth of a second

        return RedisCells(address, *patience, owner=owner)
    if "://" in address:
        raise PatronError(
            f"the online store cannot be a {address.split('://')[0]} address; set PATRON_ONLINE_STORE to"
            " redis://host:port/db, or leave it unset for a file in the home"
        )
    return SqliteCells(Path(address), *patience, owner=owner)
