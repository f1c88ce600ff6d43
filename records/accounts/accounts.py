"""Accounts with a password; only its Argon2id hash is stored (RFC 9106, by argon2-cffi)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database
from records.accounts.roles import Role, role_of
from records.accounts.tables import accounts as table
from records.accounts.tables import sessions

MIN_PASSWORD, MAX_PASSWORD, MAX_NAME = 12, 200, 60
OPENID = "openid "  # how the credential of a person of an issuer begins
MAX_FAILURES, LOCK_US = 10, 15 * 60 * 1_000_000
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43  # of no password

# A hash takes 64 MiB and a core. Threads of a process share these, whichever instance they use.
HASHES_AT_ONCE, MAX_WAITING = 2, 16
_hashing, _waiting = threading.BoundedSemaphore(HASHES_AT_ONCE), threading.BoundedSemaphore(MAX_WAITING)


class TooManySignIns(PatronError):
    """So many passwords are being checked that another one would have to wait long."""


class NameTaken(PatronError):
    """Another account has the name."""


@dataclass(frozen=True)
class Account:
    """An account.

    Attributes:
        created_us, closed_us: wall time in microseconds since 1970; ``closed_us`` is None while it is open.
    """

    number: int
    name: str
    role: Role
    created_us: int
    closed_us: int | None


class Accounts:
    """The accounts of a home. Processes share them.

    Args:
        clock: wall time in seconds since 1970.

    Raises:
        PatronError: from every method, if the database cannot be used.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock, self._hasher = Database(home), clock, PasswordHasher()

    def create(self, name: str, role: str, password: str) -> Account:
        """Create an account.

        Raises:
            PatronError: the name is taken or not printable, there is no such role, or the password is too
                short or too long.
        """
        return self._insert(name, role_of(role), self._hash(password))

    def _insert(self, name: str, role: Role, credential: str) -> Account:
        row = {
            "name": _name(name), "role": role.value, "password": credential,
            "created_us": self._now_us(), "failures": 0, "locked_until_us": 0,
        }  # fmt: skip
        with self._database.writing(Turn.ANY) as connection:
            try:
                connection.execute(sa.insert(table), row)
            except sa.exc.IntegrityError as error:
                raise NameTaken(
                    f"there is an account {row['name']!r} already; choose another name"
                ) from error
        return _account(self._named(name))

    def all(self) -> list[Account]:
        """Every account, also those that are closed, in the order of creation."""
        try:
            with self._database.reading() as connection:
                return [_account(row) for row in connection.execute(sa.select(table).order_by(table.c.n))]
        except NothingThere:
            return []

    def there_are_any(self) -> bool:
        """Whether there is an account that is open."""
        return self._first(table.c.closed_us.is_(None)) is not None

    def sign_in(self, name: str, password: str) -> Account | None:
        """The account of a name with its password; None if they do not match, or the account is closed.

        Raises:
            PatronError: the password was wrong :data:`MAX_FAILURES` times; the text says how long to wait.
            TooManySignIns: too many passwords are being checked.
        """
        row = self._first(table.c.name == name.strip().lower())
        if row is not None and row.locked_until_us > self._now_us():
            minutes = -(-(row.locked_until_us - self._now_us()) // 60_000_000)
            raise PatronError(
                f"this account is locked after {MAX_FAILURES} wrong passwords; wait {minutes} minutes"
            )
        # Without an account the hash is computed as well, so the time does not say which names exist.
        matches = self._matches(_NOBODY if row is None else row.password, password)
        if row is None or row.closed_us is not None:
            return None
        if not matches:
            self._note_failure(row.n)
            return None
        if row.failures:
            self._change(row, {"failures": 0}, end_sessions=False)
        return _account(row)

    def sign_in_subject(self, issuer: str, subject: str, name: str, role: Role) -> Account | None:
        """The account of a person whom an issuer of OpenID Connect signed in; None if it is closed.

        Args:
            subject: the person's id at the issuer. name: of a new account.
            role: as the issuer's groups say, for a new account and for one that exists.

        Raises:
            NameTaken: a new account would have the name of another one, such as a local account.
            PatronError: the name is not printable.
        """
        credential = f"{OPENID}{issuer} {subject}"  # no Argon2 hash, so no password matches it
        row = self._first(table.c.password == credential)
        if row is None:
            return self._insert(name, role, credential)
        if row.closed_us is not None:
            return None
        return _account(row) if row.role == role else self._change(row, {"role": role.value}, False)

    def set_password(self, name: str, password: str) -> Account:
        """Set a password, and end all sessions of the account.

        Raises:
            PatronError: there is no such account, or it signs in by OpenID Connect.
        """
        row = self._named(name)
        if row.password.startswith(OPENID):
            raise PatronError(f"{row.name} signs in by OpenID Connect, so the account has no password here")
        return self._change(row, {"password": self._hash(password), "failures": 0, "locked_until_us": 0})

    def set_role(self, name: str, role: str) -> Account:
        """Set the role; it applies to the next request of every session."""
        return self._change(self._named(name), {"role": role_of(role).value}, end_sessions=False)

    def close(self, name: str) -> Account:
        """Close an account for good, and end its sessions."""
        return self._change(self._named(name), {"closed_us": self._now_us()})

    def _change(self, row: sa.Row[Any], values: dict[str, Any], end_sessions: bool = True) -> Account:
        """Change the columns of an account, and return it as it is then."""
        own = table.c.n == row.n
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.update(table).where(own).values(values))
            if end_sessions:
                connection.execute(sa.delete(sessions).where(sessions.c.account == row.n))
            return _account(connection.execute(sa.select(table).where(own)).one())

    def _named(self, name: str) -> sa.Row[Any]:
        row = self._first(table.c.name == name.strip().lower())
        if row is not None:
            return row
        raise PatronError(f"there is no account {name.strip()[:MAX_NAME]!r}; see `patron accounts list`")

    def _first(self, where: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        """The first row that meets a condition; None without a database, too."""
        try:
            with self._database.reading() as connection:
                return connection.execute(sa.select(table).where(where)).first()
        except NothingThere:
            return None

    def _note_failure(self, number: int) -> None:
        """Count a wrong password, and lock the account at the last permitted one.

        The database counts, so attempts at the same time count each.
        """
        own = table.c.n == number
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.update(table).where(own).values(failures=table.c.failures + 1))
            over = own, table.c.failures >= MAX_FAILURES
            locked = {"failures": 0, "locked_until_us": self._now_us() + LOCK_US}
            connection.execute(sa.update(table).where(*over).values(locked))

    def _hash(self, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise PatronError(f"a password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        return self._hasher.hash(password)

    def _matches(self, stored: str, password: str) -> bool:
        if not _waiting.acquire(blocking=False):
            raise TooManySignIns("too many people sign in at this moment; try again in some seconds")
        try:
            with _hashing:
                return self._hasher.verify(stored, password[:MAX_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
        finally:
            _waiting.release()

    def _now_us(self) -> int:
        return round(self._clock() * 1_000_000)


def _account(row: sa.Row[Any]) -> Account:
    return Account(row.n, row.name, Role(row.role), row.created_us, row.closed_us)


def _name(name: str) -> str:
    name = name.strip().lower()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise PatronError(f"an account's name must have 1 to {MAX_NAME} printable characters")
    return name
