"""Looks at customers: queued, appended with keys, and counted if they are lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pytest

from core.errors import PatronError
from core.home import Home
from records.audit import queue
from records.audit.log import AuditLog
from records.audit.queue import AuditQueue


def keys_of(ids: Sequence[str]) -> Mapping[str, int]:
    return {customer_id: 7 for customer_id in ids if customer_id == "C1"}


def test_looks_are_in_the_chain_with_keys_and_without_ids(empty_home: Home) -> None:
    log = AuditLog(empty_home, lambda: 1_800_000_000.0)
    looks = AuditQueue(log, keys_of)
    looks.put("key crm", "looked at a customer", "C1")
    looks.put("key crm", "listed customers", about="vip")
    looks.put("key crm", "looked at a customer", "erased since")
    looks.close()
    newest = [(entry.by, entry.what, entry.about) for entry in log.newest(5)]
    assert newest == [
        ("key crm", "looked at a customer", ""),
        ("key crm", "listed customers", "vip"),
        ("key crm", "looked at a customer", "7"),
    ]
    assert log.verify().broken_at is None


def test_what_does_not_fit_is_counted_in_the_log(empty_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_QUEUED", 2)
    log = AuditLog(empty_home)
    looks = AuditQueue(log, keys_of, flush_seconds=3600)
    for _ in range(5):
        looks.put("key crm", "looked at a customer", "C1")
    looks.close()
    assert [(entry.by, entry.what, entry.about) for entry in log.newest(5)] == [
        ("the service", "lost audit entries", "3"),
        ("key crm", "looked at a customer", "7"),
        ("key crm", "looked at a customer", "7"),
    ]


def test_an_unusable_database_is_retried_and_the_loss_is_logged(
    empty_home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    def unavailable(_ids: Sequence[str]) -> Mapping[str, int]:
        raise PatronError("the database cannot be used")

    looks = AuditQueue(AuditLog(empty_home), unavailable, flush_seconds=3600)
    looks.put("key crm", "looked at a customer", "C1")
    with caplog.at_level(logging.ERROR):
        looks.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the audit log cannot be written; it will be retried: the database cannot be used",
        "1 entries could not be written to the audit log and are lost",
    ]
