"""Sessions of the console's users, on the server: a browser only has a random token."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core.errors import NothingThere
from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database
from records.accounts.roles import Role
from records.accounts.tables import accounts, sessions

IDLE_US, LIFETIME_US = 12 * 3600 * 1_000_000, 7 * 86_400 * 1_000_000
USE_US = 60 * 1_000_000  # how exactly the last use is stored


@dataclass(frozen=True)
class Session:
    """A session.

    Attributes:
        account: the name of the account. role: its present role.
        form_token: what every form of this session sends.
    """

    account: str
    role: Role
    form_token: str


class Sessions:
    """The sessions of a home. Processes share them; arguments and errors as for ``Accounts``."""

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = Database(home), clock

    def open(self, account_number: int) -> str:
        """Open a session, and return its token, which is not stored."""
        token, now = secrets.token_urlsafe(32), self._now_us()
        row = {
            "digest": _digest(token), "account": account_number, "form_token": secrets.token_urlsafe(24),
            "opened_us": now, "used_us": now,
        }  # fmt: skip
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.delete(sessions).where(self._is_over()))
            connection.execute(sa.insert(sessions), row)
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token with the account's present role; None if it is over or was closed."""
        rows = sa.select(sessions, accounts.c.name, accounts.c.role).join(
            accounts, accounts.c.n == sessions.c.account
        )
        one = rows.where(
            sessions.c.digest == _digest(token), accounts.c.closed_us.is_(None), ~self._is_over()
        )
        try:
            with self._database.reading() as connection:
                row = connection.execute(one).first()
        except NothingThere:
            return None
        if row is None:
            return None
        if self._now_us() - row.used_us > USE_US:
            with self._database.writing(Turn.ANY) as connection:
                own = sessions.c.digest == row.digest
                connection.execute(sa.update(sessions).where(own).values(used_us=self._now_us()))
        return Session(row.name, Role(row.role), row.form_token)

    def close(self, token: str, everywhere: bool = False) -> None:
        """Close a session.

        Args:
            everywhere: all sessions of its account, too.
        """
        own = sessions.c.digest == _digest(token)
        with self._database.writing(Turn.ANY) as connection:
            if everywhere:
                account = sa.select(sessions.c.account).where(own).scalar_subquery()
                own = sessions.c.account == account
            connection.execute(sa.delete(sessions).where(own))

    def _is_over(self) -> sa.ColumnElement[bool]:
        now = self._now_us()
        return (sessions.c.used_us < now - IDLE_US) | (sessions.c.opened_us < now - LIFETIME_US)

    def _now_us(self) -> int:
        return round(self._clock() * 1_000_000)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
