"""Which home a database belongs to: a table with the home's id, checked when a connection pool is opened.

The first writer of an empty database stores its home's id. A database and a home of an earlier release have
no id; the first write gives both the same one.
"""

from __future__ import annotations

import sqlalchemy as sa

from core import home_id
from core.home import Home
from core.home_id import SHORT, AnotherHome, HomeId

TABLE = "home_id"
_OWNER = sa.table(TABLE, sa.column("id", sa.Text))
_NOT_DATA = {TABLE, "alembic_version"}
_ATTACH = "`patron init --attach` joins them"


def stored(connection: sa.Connection) -> str | None:
    """The id in a database; None if it has none."""
    if not sa.inspect(connection).has_table(TABLE):
        return None
    owner: str | None = connection.execute(sa.select(_OWNER.c.id)).scalar()
    return owner


def is_empty(connection: sa.Connection) -> bool:
    """Whether no table of a database has a row."""
    names = set(sa.inspect(connection).get_table_names()) - _NOT_DATA
    tables = (sa.table(name) for name in sorted(names))
    return not any(
        connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() for table in tables
    )


def check(connection: sa.Connection, home: Home, name: str) -> bool:
    """Refuse to read another home's database; returns whether the database has this home's id.

    Args:
        name: the database's, for messages.

    Raises:
        AnotherHome: it belongs to another home.
    """
    own, owner = _ids(connection, home)
    if own is None and owner is None:
        return False  # of an earlier release
    if own is not None and owner is None and is_empty(connection):
        return False
    if own is None or own.id != owner:
        raise _refusal(home, own, owner, name)
    return True


def claim(connection: sa.Connection, home: Home, name: str, *, attach: bool = False) -> None:
    """Store the home's id in an empty database, within the open transaction; refuse another home's database.

    A new id is proposed to the home; the caller confirms it after the commit.

    Args:
        name: the database's, for messages.
        attach: a person says that home and database belong together, although one of them has no id.

    Raises:
        AnotherHome: it belongs to another home.
    """
    own, owner = _ids(connection, home)
    if own is not None and owner is not None and own.id != owner:
        raise _refusal(home, own, owner, name)
    if attach:
        own = home_id.propose(home, HomeId(owner or (own or home_id.new()).id, adopted=True))
    elif own is None:
        own = _adopted(connection, home, owner, name)
    elif owner is None and (home_id.has_shop(home) or not is_empty(connection)):
        raise _refusal(home, own, owner, name)
    if owner is None:
        connection.execute(sa.insert(_OWNER), {"id": own.id})


def _ids(connection: sa.Connection, home: Home) -> tuple[HomeId | None, str | None]:
    """The ids of a home and of its database; None for one that has none.

    Another process may be giving both their id: it proposes it to the home, commits it to the database, and
    makes the proposed id the home's. So the home is read again after a database with an id, and the proposed
    id before the home's.
    """
    own, owner = home_id.read(home), stored(connection)
    if own is None and owner is not None:
        pending, own = home_id.read_pending(home), home_id.read(home)
        if own is None and pending is not None and pending.id == owner:
            own = pending
    return own, owner


def _adopted(connection: sa.Connection, home: Home, owner: str | None, name: str) -> HomeId:
    """The id that a home without one gets."""
    if owner is not None:
        raise _refusal(home, None, owner, name)
    with_data = not is_empty(connection)
    # An SQLite file in the home is the home's; a server's database must be accompanied by a shop.
    if with_data and home.database is not None and not home_id.has_shop(home):
        raise _refusal(home, None, None, name)
    pending = home_id.read_pending(home)  # of a process that ended before its commit
    return pending or home_id.propose(home, home_id.new(adopted=with_data or home_id.has_shop(home)))


def _refusal(home: Home, own: HomeId | None, owner: str | None, name: str) -> AnotherHome:
    """The error for a database that does not belong to the home."""
    of = f"the database {name}"
    if own is not None and owner is not None:
        return home_id.refuse(of, owner, own, "PATRON_DATABASE")
    whose = f"belongs to the home {owner[:SHORT]}" if owner else "contains a shop, but no home's id"
    if own is None and not home_id.has_shop(home):
        return AnotherHome(
            f"{of} {whose}, and {home.path} contains no shop; nothing was changed. If this folder was"
            " lost, mount it again, or restore a backup with `patron restore`, or go on with what the"
            " database has: `patron init --attach`. For another shop, set PATRON_DATABASE to an empty"
            " database"
        )
    if own is None:
        return AnotherHome(
            f"{of} {whose}, and {home.path} has no id; nothing was changed. If the folder is an older"
            f" copy of that home, {_ATTACH}; otherwise set PATRON_DATABASE to the database of this folder"
        )
    return AnotherHome(
        f"{of} has no home's id, and {home.path} has one ({own.short}); nothing was changed. Set"
        f" PATRON_DATABASE to the home's database. To move the home to this one, `patron backup DIR` with the"
        f" former setting, then `patron restore DIR --replace`. If it is an older copy, or a new one because"
        f" the home's was lost, {_ATTACH}"
    )
