"""How often a network address may fail to sign in; further attempts are refused before a hash is computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import sqlalchemy as sa

from core.errors import NothingThere
from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database, insert
from records.accounts.tables import sign_in_attempts as table

MAX_FAILURES, WINDOW_S = 30, 15 * 60


class SignInAttempts:
    """The attempts of each address to sign in, counted in the database, so that all processes share them.

    An address has 30 failures in 15 minutes, which begin with the first. Attempts that are being checked
    count as failures until they succeed, so many at the same time do not exceed the limit.

    Args:
        clock: wall time in seconds since 1970.

    Raises:
        PatronError: from every method, if the database cannot be used.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = Database(home), clock

    def begin(self, address: str) -> float:
        """Count an attempt: 0 if it may go on, else the seconds after which the next one may."""
        network, now_us = network_of(address), self._now_us()
        wait_s = self._wait_s(network)  # a refusal writes nothing
        if wait_s:
            return wait_s
        first = {"network": network, "began_us": now_us, "failures": 0, "is_reported": False}
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.delete(table).where(table.c.began_us <= now_us - WINDOW_S * 1_000_000))
            connection.execute(insert(connection, table).values(first).on_conflict_do_nothing())
            below = table.c.network == network, table.c.failures < MAX_FAILURES
            counted = connection.execute(
                sa.update(table).where(*below).values(failures=table.c.failures + 1)
            ).rowcount
        return 0 if counted else self._wait_s(network)

    def succeeded(self, address: str) -> None:
        """Uncount the attempt that :meth:`begin` counted."""
        counted = table.c.network == network_of(address), table.c.failures > 0
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.update(table).where(*counted).values(failures=table.c.failures - 1))

    def is_first_refusal(self, address: str) -> bool:
        """Whether the refusal is the first one of the 15 minutes, which is to be recorded."""
        unreported = table.c.network == network_of(address), table.c.is_reported.is_(False)
        with self._database.writing(Turn.ANY) as connection:
            return bool(
                connection.execute(sa.update(table).where(*unreported).values(is_reported=True)).rowcount
            )

    def _wait_s(self, network: str) -> float:
        """The seconds for which a network is refused; 0 if it is not."""
        full = sa.select(table).where(table.c.network == network, table.c.failures >= MAX_FAILURES)
        try:
            with self._database.reading() as connection:
                row: sa.Row[Any] | None = connection.execute(full).first()
        except NothingThere:
            return 0
        return 0 if row is None else max(0.0, row.began_us / 1_000_000 + WINDOW_S - self._clock())

    def _now_us(self) -> int:
        return round(self._clock() * 1_000_000)


def network_of(address: str) -> str:
    """An IPv4 address; of an IPv6 address its network of 64 bits, which one machine has to itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
