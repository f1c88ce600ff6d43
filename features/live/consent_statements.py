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

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from core.storage.sql import literal
from events import lake
from events.identity import Identity, with_merged
from events.warehouse import is_in_warehouse
from features import consent_events
from features.consent_events import COLUMNS, KINDS, NEWSLETTER, PREFIX, UNDONE
from features.groups.trait_values import NO, YES

TABLES = tuple(COLUMNS)
STATEMENTS = ("subscribed", "unsubscribed", "withdrawn", "spam", "bounced", "reached")


class ChannelConsent(NamedTuple):
    """The latest moment of each statement about a channel, in microseconds since 1970; 0 for none."""

    subscribed: int = 0
    unsubscribed: int = 0
    withdrawn: int = 0
    spam: int = 0
    bounced: int = 0
    reached: int = 0


class ConsentColumns(NamedTuple):
    """The same of many customers: a column of moments per statement."""

    subscribed: NDArray[np.int64]
    unsubscribed: NDArray[np.int64]
    withdrawn: NDArray[np.int64]
    spam: NDArray[np.int64]
    bounced: NDArray[np.int64]
    reached: NDArray[np.int64]


NONE = ChannelConsent()


def of_everybody(home: Home, as_of: datetime) -> pa.Table:
    """The statements of all customers, with those of the customers merged into them.

    Returns:
        ``customer_key`` (int64), ``channel`` (string) and a column of microseconds per statement: a row per
        customer and channel, without those of whom nothing is known.

    Raises:
        PatronError: the lake is missing or cannot be read.
    """
    database = Database(home)
    files, arrived = stored_statements(home, database)
    backend = lake.connect()
    try:
        tables = dict(files.tables)
        for name in TABLES:
            if name in arrived and arrived[name].num_rows:
                backend.con.register(f"arrived_{name}", arrived[name])
                columns = ", ".join(COLUMNS[name])
                tables[name] = (
                    f"(SELECT {columns} FROM {tables[name]} UNION ALL SELECT {columns} FROM arrived_{name})"
                )
        with _readable(files):
            statements = latest_statements(backend.con, tables, as_of)
    finally:
        backend.disconnect()
    merges = Identity(home, database).merges()
    if not merges:
        return statements
    latest = with_merged(statements, merges).group_by(["customer_key", "channel"])
    columns = latest.aggregate([(name, "max") for name in STATEMENTS])
    return columns.rename_columns({f"{name}_max": name for name in STATEMENTS})


@dataclass(frozen=True)
class StatementFiles:
    """Where the events of all customers are stored.

    Attributes:
        stamp: changes with them.
        tables: the relations of ``TABLES`` by name.
        unreadable: what to say if they cannot be read.
    """

    stamp: str
    tables: Mapping[str, str]
    unreadable: str


def stored_statements(
    home: Home, database: Database, customer_keys: Sequence[int] | None = None
) -> tuple[StatementFiles, dict[str, pa.Table]]:
    """The files of a home's lake, or those that the last build wrote of its warehouse, and the events that
    arrived since.

    Args:
        customer_keys: arrived events of these customers only.

    Raises:
        PatronError: the lake is missing, or its warehouse was not read yet.
    """
    if is_in_warehouse(home):
        stamp, tables = consent_events.stored(home)
        failure = f"the consents of {home.path} cannot be read; run `patron build`"
        return StatementFiles(stamp, tables, failure), {}
    version, arrived = lake.arrived(home, database, customer_keys)
    tables = {name: f"read_parquet({literal(version.folder / name / '*' / '*.parquet')})" for name in TABLES}
    failure = f"the lake's table in {version.folder} cannot be read; bring the shop in again with --replace"
    return StatementFiles(str(version.folder), tables, failure), arrived


def of_files(
    cursor: duckdb.DuckDBPyConnection, files: StatementFiles, as_of: datetime
) -> tuple[pa.Table, datetime]:
    """The statements in files, and the moment until which no other one becomes visible.

    Raises:
        PatronError: they cannot be read.
    """
    with _readable(files):
        return latest_statements(cursor, files.tables, as_of), _complete_until(cursor, files.tables, as_of)


@contextmanager
def _readable(files: StatementFiles) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise PatronError(files.unreadable) from error


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


def latest_statements(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, str], as_of: datetime
) -> pa.Table:
    """The latest moment of each statement: a row per customer and channel.

    Args:
        tables: the relations of ``TABLES`` by name.
    """
    latest = ", ".join(
        f"coalesce(max(epoch_us(timestamp)) FILTER (statement = '{name}'), 0)::BIGINT AS {name}"
        for name in STATEMENTS
    )
    kinds = " ".join(f"WHEN '{kind}' THEN '{statement}'" for kind, statement in KINDS.items())
    words = {name: ", ".join(map(literal, values)) for name, values in (("yes", YES), ("no", NO))}
    visible = "timestamp < $as_of AND received_at <= $as_of"
    statement = f"""
        WITH statements AS (
            SELECT customer_key, coalesce(channel, 'email') AS channel, timestamp,
                CASE kind {kinds} END AS statement
            FROM {tables["activities"]}
            WHERE {visible} AND name <> {literal(UNDONE)} AND kind IN ({", ".join(map(literal, KINDS))})
            UNION ALL
            SELECT customer_key,
                CASE name WHEN {literal(NEWSLETTER)} THEN 'email' ELSE name[{len(PREFIX) + 1}:] END,
                timestamp,
                CASE WHEN value IS NULL THEN 'withdrawn'
                    WHEN lower(trim(value)) IN ({words["yes"]}) THEN 'subscribed'
                    WHEN lower(trim(value)) IN ({words["no"]}) THEN 'unsubscribed' END
            FROM {tables["traits"]}
            WHERE {visible} AND (name = {literal(NEWSLETTER)} OR starts_with(name, {literal(PREFIX)}))
        )
        SELECT customer_key, channel, {latest} FROM statements WHERE statement IS NOT NULL
        GROUP BY customer_key, channel
    """
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    return connection.execute(statement, {"as_of": moment}).to_arrow_table()
