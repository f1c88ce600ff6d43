"""The engine of a PostgreSQL database, which notices within seconds that the server does not answer.

psycopg waits for the response to a statement without a limit, and the operating system acknowledges what is
sent to a process that is suspended. A limit per statement would end long ones, such as a migration's. So the
server is probed while a statement gets no response.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout, _WaitTimeout

from core.circuit_breaker import CircuitBreaker
from core.errors import StoreUnavailable
from core.storage.batches import Rows, Statement

CONNECT_SECONDS, PROBE_SECONDS = 3, 2  # libpq takes whole seconds, at least 2
QUIET_SECONDS = 1.0  # without a response, after which the server is probed
UNUSED_SECONDS = 1.0  # after which a connection is tested before it is used
POOL_SECONDS = 5.0  # to wait for a connection that another thread uses
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 2.0
# A network that drops packets: milliseconds until sent data is acknowledged, seconds between keepalives.
_NETWORK = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_INTERVAL_SECONDS = 0.1
_UNUSED_SINCE = "unused_since"
_LOCKS = 0x5041_5452
# A connection keeps the plans of its statements. One that was made while a table was nearly empty would scan
# the table for every batch, until PostgreSQL analyzes it a minute later. Without scans, the plan of a table
# without an index has a cost for which PostgreSQL would compile it.
_TAKE_TURN = (
    "SELECT pg_advisory_xact_lock(?, ?),"
    " set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"
)
RV = TypeVar("RV")


def create_engine(url: sa.URL, name: str) -> sa.Engine:
    """The engine of the database at ``url``.

    While the server hangs, most calls fail at once, and one after each pause tries to connect.

    Args:
        name: of the database, for messages; without credentials.
    """
    network = {key: value for key, value in _NETWORK.items() if key not in url.query}
    engine = sa.create_engine(url, pool_timeout=POOL_SECONDS, connect_args=network)
    connector = _Connector(name)

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: Any, kwargs: Any) -> psycopg.Connection[Any]:
        return connector.connect(*args, **kwargs)

    @sa.event.listens_for(engine, "checkin")
    def checkin(_driver: psycopg.Connection[Any] | None, record: sa.PoolProxiedConnection) -> None:
        record.info[_UNUSED_SINCE] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def checkout(driver: psycopg.Connection[Any], record: sa.PoolProxiedConnection, _proxy: Any) -> None:
        unused_since = record.info.get(_UNUSED_SINCE)  # None of a new connection
        if unused_since is not None and not _usable(engine, driver, time.monotonic() - unused_since):
            raise sa.exc.InvalidatePoolError

    return engine


def _usable(engine: sa.Engine, driver: psycopg.Connection[Any], unused_seconds: float) -> bool:
    """Whether the server still serves a connection.

    The server is asked only where it may have ended the connection: after a while, or if it sent something
    without a statement. Asking before every use would cost as much as a statement.
    """
    try:
        arrived = select.poll()
        arrived.register(driver.fileno(), select.POLLIN)
        if unused_seconds < UNUSED_SECONDS and not arrived.poll(0):
            return True
        return engine.dialect.do_ping(cast(Any, driver))
    except psycopg.Error:
        return False


def connect(url: str, name: str, setting: str) -> psycopg.Connection[Any]:
    """A connection that commits each statement, and ends if the server hangs.

    Args:
        name: of the database, for messages; without credentials. setting: the one that has the URL.

    Raises:
        StoreUnavailable: the server cannot be reached, or refuses the login.
    """
    return _Connector(name, setting).connect(url, autocommit=True, **_NETWORK)


def begin(turn: int, durable: bool) -> list[Statement]:
    """The statements that begin a transaction.

    Args:
        turn: a number other than 0 waits for the end of the other transactions with it.
        durable: whether it survives a power cut once committed.
    """
    return [
        Statement("BEGIN ISOLATION LEVEL READ COMMITTED"),
        *([] if durable else [Statement("SET LOCAL synchronous_commit = off")]),
        *([Statement(_TAKE_TURN, (_LOCKS, int(turn)))] if turn else []),
    ]


def execute(connection: sa.Connection, statements: Sequence[Statement]) -> list[Rows]:
    """Execute statements that are sent together; returns the rows of each, none of one that returns none.

    Raises:
        sqlalchemy.exc.DBAPIError: the server cannot be used, or cannot store a value.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with driver.pipeline():
            # Values in binary need no quoting, which takes most of the time of texts.
            cursors = [
                driver.execute(text.replace("?", "%b").encode(), values, binary=True)
                for text, values in statements
            ]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance(
            "", None, error, psycopg.Error, dialect=connection.dialect
        ) from error


class _Connector:
    """Connects to one server, and probes it for connections that wait."""

    def __init__(self, name: str, setting: str = "PATRON_DATABASE") -> None:
        self._name, self._setting = name, setting
        self._breaker = CircuitBreaker(
            name, CONNECT_SECONDS, failures=1, logged=False,
            first_pause_s=FIRST_PAUSE_SECONDS, longest_pause_s=LONGEST_PAUSE_SECONDS,
        )  # fmt: skip

    def connect(self, *args: Any, **kwargs: Any) -> psycopg.Connection[Any]:
        """A connection.

        Raises:
            StoreUnavailable: the server cannot be reached, or refuses the login.
        """

        def connect() -> _WatchedConnection:
            try:
                return _WatchedConnection.connect(*args, **kwargs)
            except ConnectionTimeout as error:
                raise self._unavailable(error) from error

        try:
            connection = self._breaker(connect)
        except psycopg.OperationalError as error:  # such as a refusal, for which no request has to wait
            raise self._unavailable(error) from error
        connection.server_hangs = lambda: self._hangs(args, kwargs)
        return connection

    def _hangs(self, args: Any, kwargs: Any) -> bool:
        try:
            psycopg.connect(*args, **kwargs | {"connect_timeout": PROBE_SECONDS}).close()
        except ConnectionTimeout as error:
            self._breaker.count_failure(self._unavailable(error))
            return True
        except psycopg.OperationalError:
            pass  # it answers, for example that there are too many connections
        return False

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        """The error for a server that cannot be used.

        Only the first line of its message is given: the following lines of PostgreSQL's messages quote
        values.
        """
        why = str(error).strip().partition("\n")[0]
        return StoreUnavailable(
            f"the database {self._name} cannot be used: {why}; see that the server runs and {self._setting}"
            " is right"
        )


class _WatchedConnection(psycopg.Connection[Any]):
    """A connection that ends if the server hangs."""

    server_hangs: Callable[[], bool] = staticmethod(lambda: False)

    def __del__(self, _warn: Any = None) -> None:
        """Close it: a pool that was disposed of while a thread used the connection leaves it open."""
        if hasattr(self, "pgconn"):
            self.pgconn.finish()

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> RV:
        """Wait for a response, as long as the server accepts connections."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        started = time.monotonic()
        while True:
            try:
                return super().wait(gen, interval, QUIET_SECONDS)
            except _WaitTimeout as error:
                if self.server_hangs():
                    self.pgconn.finish()
                    seconds = time.monotonic() - started
                    raise psycopg.OperationalError(f"no response within {seconds:.1f} s") from error
