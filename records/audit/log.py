"""A log whose entries form a chain: each has the digest of its content and of the entry before it.

Whoever changes, removes or inserts an entry must change all later digests. The digest of the newest entry,
kept elsewhere, shows that, too: ``patron audit verify --head DIGEST``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.errors import NothingThere
from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database
from records.audit.tables import audit_log as table

FIRST = b"\0" * 32  # the digest before the first entry
_PAGE = 10_000


@dataclass(frozen=True)
class AuditEntry:
    """An entry.

    Attributes:
        at_us: wall time in microseconds since 1970.
        by: the account, the key or ``command``.
        what: such as ``looked at a customer``. about: its object, such as the customer's key.
    """

    number: int
    at_us: int
    by: str
    what: str
    about: str
    digest: bytes


@dataclass(frozen=True)
class Verification:
    """What :meth:`AuditLog.verify` found.

    Attributes:
        head: the digest of the newest entry in hexadecimal; empty without entries.
        broken_at: the number of the first entry that does not fit the one before; None if all fit.
    """

    entries: int
    head: str
    broken_at: int | None


class AuditLog:
    """The audit log of a home. Processes share it.

    Args:
        clock: wall time in seconds since 1970.

    Raises:
        PatronError: from every method, if the database cannot be used.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = Database(home), clock

    def append(self, by: str, what: str, about: str = "") -> None:
        """Add an entry; it is durable on return."""
        self.append_all([(self.now_us(), by, what, about)])

    def append_all(self, entries: Sequence[tuple[int, str, str, str]]) -> None:
        """Add entries ``(at_us, by, what, about)`` in one transaction; they are durable on return."""
        with self._database.writing(Turn.AUDIT) as connection:
            last = connection.execute(sa.select(table).order_by(table.c.n.desc()).limit(1)).first()
            number, digest = (0, FIRST) if last is None else (last.n, bytes(last.digest))
            rows = []
            for at_us, by, what, about in entries:
                number, digest = number + 1, _digest(digest, number + 1, at_us, by, what, about)
                rows.append(
                    {"n": number, "at_us": at_us, "by": by, "what": what, "about": about, "digest": digest}
                )
            connection.execute(sa.insert(table), rows)

    def now_us(self) -> int:
        """Wall time in microseconds since 1970."""
        return round(self._clock() * 1_000_000)

    def newest(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """The newest entries, newest first.

        Args:
            before: only those with a lower number.
        """
        rows = sa.select(table).order_by(table.c.n.desc()).limit(limit)
        if before is not None:
            rows = rows.where(table.c.n < before)
        try:
            with self._database.reading() as connection:
                return [_entry(row) for row in connection.execute(rows)]
        except NothingThere:
            return []

    def verify(self) -> Verification:
        """Compute the chain again from its first entry on."""
        number, digest = 0, FIRST
        for entry in self._all():
            expected = _digest(digest, number + 1, entry.at_us, entry.by, entry.what, entry.about)
            if entry.number != number + 1 or entry.digest != expected:
                return Verification(number, digest.hex() if number else "", number + 1)
            number, digest = entry.number, entry.digest
        return Verification(number, digest.hex() if number else "", None)

    def has(self, head: str) -> bool:
        """Whether an entry has this digest, in hexadecimal."""
        try:
            wanted = sa.select(table.c.n).where(table.c.digest == bytes.fromhex(head))
            with self._database.reading() as connection:
                return connection.execute(wanted).first() is not None
        except (ValueError, NothingThere):  # it is no digest, or there is no entry yet
            return False

    def _all(self) -> Iterator[AuditEntry]:
        after = 0
        while True:
            rows = sa.select(table).where(table.c.n > after).order_by(table.c.n).limit(_PAGE)
            try:
                with self._database.reading() as connection:
                    page = [_entry(row) for row in connection.execute(rows)]
            except NothingThere:
                return
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number


def _digest(before: bytes, *fields: Any) -> bytes:
    content = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.sha256(before + content).digest()


def _entry(row: sa.Row[Any]) -> AuditEntry:
    return AuditEntry(row.n, row.at_us, row.by, row.what, row.about, bytes(row.digest))
