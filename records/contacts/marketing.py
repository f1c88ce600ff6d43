"""The marketing contacts of all customers, in columns."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import pyarrow as pa
import sqlalchemy as sa

from core.calendar import micros
from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database
from records.contacts.contact import SERVICE
from records.contacts.tables import contacts
from records.tables import outcomes

_TYPES = pa.schema(
    {
        "customer_key": pa.int64(),
        "channel": pa.string(),
        "at_us": pa.int64(),
        "rejected": pa.bool_(),
        "responded": pa.bool_(),
    }
)


def read_marketing(home: Home, since: datetime, responses: Collection[str]) -> pa.Table:
    """The marketing contacts of all customers from a moment on; reservations are none.

    Args:
        responses: the kinds of outcomes that are responses.

    Returns:
        A row per contact: ``customer_key``, ``channel``, ``at_us`` (microseconds since 1970), whether it was
        ``rejected``, and whether the customer ``responded``.
    """
    of_contact = outcomes.c.decision_id == contacts.c.decision_id
    rejected = sa.exists().where(of_contact, outcomes.c.kind == "rejected")
    responded = sa.exists().where(of_contact, outcomes.c.kind.in_(sorted(responses)))
    statement = sa.select(
        contacts.c.customer_key, contacts.c.channel, contacts.c.at_us, rejected, responded
    ).where(contacts.c.at_us >= micros(since), contacts.c.purpose != SERVICE)
    try:
        with Database(home).reading() as connection:
            rows = connection.execute(statement).cursor.fetchall()
    except NothingThere:
        return _TYPES.empty_table()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_TYPES)
    flags = [[bool(flag) for flag in column] for column in columns[3:]]  # SQLite has numbers for them
    return pa.table([*columns[:3], *flags], schema=_TYPES)


def count_marketing(home: Home) -> tuple[int, int]:
    """How many contacts and outcomes there are: both are equal while none was added.

    Raises:
        PatronError: the database cannot be read.
    """
    counts = (sa.select(sa.func.count()).select_from(table) for table in (contacts, outcomes))
    try:
        with Database(home).reading() as connection:
            contacted, responded = (connection.execute(count).scalar_one() for count in counts)
    except NothingThere:
        return 0, 0
    return contacted, responded
