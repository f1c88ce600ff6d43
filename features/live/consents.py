"""What customers said about being contacted, per channel: the latest moments of each statement.

| statement | from |
|---|---|
| subscribed | events ``Subscribed``, ``Email Subscribed``, ``SMS Subscribed``, ``Push Notification Subscribed``; a consent trait that is true |
| unsubscribed | events ``Unsubscribed``, ``SMS Unsubscribed`` and the like; a consent trait that is false |
| withdrawn | a consent trait that was cleared: nothing is known again |
| spam | ``Email Marked as Spam`` |
| bounced | ``Email Bounced``, ``Push Notification Bounced`` |
| reached | a message was opened or clicked |

Consent traits are ``consent.CHANNEL``, such as ``{"consent": {"email": true, "sms": false}}``, and
``newsletter`` for email. Statements without a channel are about email. Nothing with ``timestamp >= as_of`` or
``received_at > as_of`` is visible.
"""  # noqa: E501

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from core.storage.sql import literal
from events import lake
from events.identity import Identity
from events.taxonomy import OWN_CONTACTS
from features.groups.trait_values import NO, YES

_KINDS = {
    "subscribed": "subscribed", "unsubscribed": "unsubscribed", "marked_as_spam": "spam",
    "bounced": "bounced", "opened": "reached", "clicked": "reached",
}  # fmt: skip
TABLES = ("activities", "traits")
UNDONE = OWN_CONTACTS[-1]  # says nothing about the channel
STATEMENTS = ("subscribed", "unsubscribed", "withdrawn", "spam", "bounced", "reached")


class ChannelConsent(NamedTuple):
    """The latest moment of each statement about a channel, in microseconds since 1970; 0 for none."""

    subscribed: int = 0
    unsubscribed: int = 0
    withdrawn: int = 0
    spam: int = 0
    bounced: int = 0
    reached: int = 0


NONE = ChannelConsent()
ByChannel: TypeAlias = dict[str, ChannelConsent]


class Consents:
    """Reads the consents of a home's customers. Threads may share it.

    The statements in the lake are read once per version of the lake, for all customers, and again once a
    statement of a later moment becomes visible. Those that arrived since are read from the journal.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._database = Database(home)
        self._identity = Identity(home, self._database)
        self._lock = threading.Lock()
        self._loaded: tuple[str, datetime, _Statements] | None = None
        self._backend = lake.connect()

    def of(self, keys: Sequence[int], as_of: datetime) -> dict[int, ByChannel]:
        """The consents of customers by key and channel, with those of the customers merged into them.

        Raises:
            PatronError: the lake is missing or cannot be read.
        """
        groups: dict[int, set[int]] = {key: {key} for key in keys}
        for merge in self._identity.merges(into=keys):
            groups[merge.into].add(merge.customer_key)
        members = sorted(set().union(*groups.values()))
        version, arrived = lake.arrived(self._home, self._database, members)
        statements = [self._of_version(version, as_of)]
        tables = {name: arrived[name] for name in TABLES if name in arrived}
        if any(table.num_rows for table in tables.values()):
            cursor = self._backend.con.cursor()  # one per call, since threads share the connection
            for name, table in tables.items():
                cursor.register(name, table)
            statements.append(_Statements(_query(cursor, {name: name for name in TABLES}, as_of)))
        return {
            key: _latest(known.of(member) for member in group for known in statements)
            for key, group in groups.items()
        }

    def _of_version(self, version: lake.Lake, as_of: datetime) -> _Statements:
        name = str(version.folder)
        with self._lock:
            if self._loaded is None or self._loaded[0] != name or as_of > self._loaded[1]:
                table, complete_until = _of_lake(self._backend.con.cursor(), version, as_of)
                self._loaded = name, complete_until, _Statements(table)
            return self._loaded[2]


class _Statements:
    """Statements of customers, sorted by key."""

    def __init__(self, table: pa.Table) -> None:
        table = table.sort_by("customer_key")
        self._keys = table["customer_key"].to_numpy()
        self._channels = table["channel"].combine_chunks()
        self._moments = np.column_stack([table[name].to_numpy() for name in STATEMENTS])

    def of(self, key: int) -> ByChannel:
        """The statements of a customer by channel."""
        start, end = np.searchsorted(self._keys, [key, key + 1])
        return {
            str(self._channels[int(i)].as_py()): ChannelConsent(*self._moments[i].tolist())
            for i in range(start, end)
        }


def _latest(consents: Iterable[ByChannel]) -> ByChannel:
    """The latest moment of each statement."""
    latest: ByChannel = {}
    for by_channel in consents:
        for channel, consent in by_channel.items():
            known = latest.get(channel, NONE)
            latest[channel] = ChannelConsent(*map(max, zip(known, consent, strict=True)))
    return latest


def _of_lake(
    cursor: duckdb.DuckDBPyConnection, version: lake.Lake, as_of: datetime
) -> tuple[pa.Table, datetime]:
    """The statements, and the moment until which no other one becomes visible."""
    tables = {name: f"read_parquet({literal(version.folder / name / '*' / '*.parquet')})" for name in TABLES}
    try:
        return _query(cursor, tables, as_of), _complete_until(cursor, tables, as_of)
    except duckdb.Error as error:
        raise PatronError(
            f"the lake's table in {version.folder} cannot be read; bring the shop in again with --replace"
        ) from error


def _complete_until(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, str], as_of: datetime
) -> datetime:
    moments = " UNION ALL ".join(
        f"SELECT greatest(timestamp, received_at) AS later FROM {tables[name]}"
        " WHERE timestamp >= $as_of OR received_at > $as_of"
        for name in TABLES
    )
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    row = connection.execute(f"SELECT min(later) FROM ({moments})", {"as_of": moment}).fetchone()
    assert row is not None
    if row[0] is None:
        return datetime.max.replace(tzinfo=UTC)
    first: datetime = row[0].replace(tzinfo=UTC)
    return max(as_of, first - timedelta(microseconds=1))  # a statement counts from its moment of receipt on


def _query(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, str], as_of: datetime) -> pa.Table:
    latest = ", ".join(
        f"coalesce(max(epoch_us(timestamp)) FILTER (statement = '{name}'), 0)::BIGINT AS {name}"
        for name in STATEMENTS
    )
    kinds = " ".join(f"WHEN '{kind}' THEN '{statement}'" for kind, statement in _KINDS.items())
    words = {name: ", ".join(map(literal, values)) for name, values in (("yes", YES), ("no", NO))}
    visible = "timestamp < $as_of AND received_at <= $as_of"
    query = f"""
        WITH statements AS (
            SELECT customer_key, coalesce(channel, 'email') AS channel, timestamp,
                CASE kind {kinds} END AS statement
            FROM {tables["activities"]}
            WHERE {visible} AND name <> {literal(UNDONE)} AND kind IN ({", ".join(map(literal, _KINDS))})
            UNION ALL
            SELECT customer_key, CASE name WHEN 'newsletter' THEN 'email' ELSE name[9:] END, timestamp,
                CASE WHEN value IS NULL THEN 'withdrawn'
                    WHEN lower(trim(value)) IN ({words["yes"]}) THEN 'subscribed'
                    WHEN lower(trim(value)) IN ({words["no"]}) THEN 'unsubscribed' END
            FROM {tables["traits"]}
            WHERE {visible} AND (name = 'newsletter' OR starts_with(name, 'consent.'))
        )
        SELECT customer_key, channel, {latest} FROM statements WHERE statement IS NOT NULL
        GROUP BY customer_key, channel
    """
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    return connection.execute(query, {"as_of": moment}).to_arrow_table()
