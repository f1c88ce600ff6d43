"""Sign-in: what an address may attempt, and how many passwords are checked at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.home import Home
from records.accounts import accounts
from records.accounts.accounts import Accounts
from records.accounts.attempts import MAX_FAILURES, WINDOW_S, SignInAttempts, network_of
from records.audit.log import AuditLog
from serving.http.services import services_of

PASSWORD = "correct horse battery"


def test_an_address_fails_so_often_in_a_window_in_all_processes_together(empty_home: Home) -> None:
    now = [1_800_000_000.0]
    processes = [SignInAttempts(empty_home, lambda: now[0]) for _ in range(2)]
    one, other = processes
    one.begin("192.0.2.1")
    other.succeeded("192.0.2.1")
    with ThreadPoolExecutor(4) as pool:  # more than are permitted, at the same time
        waits = [*pool.map(lambda i: processes[i % 2].begin("192.0.2.1"), range(MAX_FAILURES + 6))]
    assert waits.count(0) == MAX_FAILURES
    now[0] += 60
    assert one.begin("192.0.2.1") == other.begin("192.0.2.1") == WINDOW_S - 60
    assert [process.is_first_refusal("192.0.2.1") for process in (one, other, one)] == [True, False, False]
    assert one.begin("192.0.2.2") == 0
    now[0] += WINDOW_S - 60
    assert other.begin("192.0.2.1") == 0
    assert one.is_first_refusal("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_the_addresses_of_one_machine_count_together(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_burst_is_refused_with_one_entry_and_many_at_once_wait_in_a_short_queue(
    open_local: Callable[[Home], Any], shop_copy: Home
) -> None:
    Accounts(shop_copy).create("ada", "viewer", PASSWORD)
    client = open_local(shop_copy)
    attempts = services_of(client.app)[SignInAttempts]
    form = {"name": "ada", "password": PASSWORD}
    for _ in range(accounts.MAX_WAITING):
        accounts._waiting.acquire()
    try:
        assert client.post("/console/sign-in", data=form).status_code == 503
    finally:
        for _ in range(accounts.MAX_WAITING):
            accounts._waiting.release()
    for _ in range(MAX_FAILURES - 1):
        attempts.begin("127.0.0.1")
    assert client.post("/console/sign-in", data=form).status_code == 303
    assert client.post("/console/sign-in", data=form | {"password": "no"}).status_code == 401
    for _ in range(3):
        response = client.post("/console/sign-in", data=form)
        assert response.status_code == 429
        assert "Try again in 15 minutes" in response.text
    newest = [(entry.what, entry.about) for entry in AuditLog(shop_copy).newest(5)]
    assert newest == [
        ("refused further attempts", "127.0.0.1"),
        ("failed to sign in", "127.0.0.1"),
        ("signed in", ""),
    ]
