"""The audit log: a chain that no one edits unnoticed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database
from records.audit.log import AuditLog
from records.audit.tables import audit_log as table

SECOND = table.c.n == 2
EDITS: dict[str, Any] = {
    "text": sa.update(table).where(SECOND).values(what="looked away"),
    "who": sa.update(table).where(SECOND).values(by="eve"),
    "time": sa.update(table).where(SECOND).values(at_us=1),
    "removed": sa.delete(table).where(SECOND),
    "first removed": sa.delete(table).where(table.c.n == 1),
    "renumbered": sa.update(table).where(table.c.n == 3).values(n=7),
}


@pytest.fixture
def log(empty_home: Home) -> AuditLog:
    return AuditLog(empty_home, lambda: 1_800_000_000.0)


def test_entries_are_listed_newest_first_and_verified(log: AuditLog) -> None:
    assert log.newest(5) == []
    assert log.verify().entries == 0
    for i in range(5):
        log.append("ada", "looked at a customer", str(i))
    assert [entry.about for entry in log.newest(2)] == ["4", "3"]
    assert [entry.about for entry in log.newest(2, before=4)] == ["2", "1"]
    result = log.verify()
    assert (result.entries, result.broken_at) == (5, None)
    assert result.head == log.newest(1)[0].digest.hex()


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed(edit: str, log: AuditLog, empty_home: Home) -> None:
    for i in range(4):
        log.append("ada", "changed an action", f"{i}")
    with Database(empty_home).writing(Turn.ANY) as connection:
        connection.execute(EDITS[edit])
    assert log.verify().broken_at in (1, 2, 3)


def test_a_removed_end_is_noticed_by_a_head_that_was_kept(log: AuditLog, empty_home: Home) -> None:
    for i in range(4):
        log.append("ada", "changed an action", f"{i}")
    head = log.verify().head
    assert log.has(head)
    assert not log.has("no digest")
    with Database(empty_home).writing(Turn.ANY) as connection:
        connection.execute(sa.delete(table).where(table.c.n == 4))
    assert log.verify().broken_at is None
    assert not log.has(head)


def test_writers_at_once_form_one_chain(empty_home: Home) -> None:
    def write(i: int) -> None:
        AuditLog(empty_home).append(f"writer {i % 4}", "changed an action", str(i))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    log = AuditLog(empty_home)
    assert log.verify().entries == 60
    assert {entry.about for entry in log.newest(100)} == {str(i) for i in range(60)}
