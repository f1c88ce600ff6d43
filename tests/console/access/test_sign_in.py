"""Sign-in: what an address may attempt, and how many passwords are checked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.access.attempts import MAX_FAILURES, WINDOW_S, SignInAttempts, network_of
from core.home import Home
from records.accounts import accounts
from records.accounts.accounts import Accounts
from records.audit.log import AuditLog
from serving.http.services import services_of

PASSWORD = "correct horse battery"


def test_an_address_fails_so_often_in_a_window_and_others_are_not_affected() -> None:
    now = [0.0]
    attempts = SignInAttempts(lambda: now[0])
    attempts.begin("192.0.2.1")
    attempts.succeeded("192.0.2.1")
    for _ in range(MAX_FAILURES):
        assert attempts.begin("192.0.2.1") == 0
    now[0] = 60
    assert attempts.begin("192.0.2.1") == WINDOW_S - 60
    assert [attempts.is_first_refusal("192.0.2.1") for _ in range(3)] == [True, False, False]
    assert attempts.begin("192.0.2.2") == 0
    now[0] = WINDOW_S
    assert attempts.begin("192.0.2.1") == 0
    assert attempts.is_first_refusal("192.0.2.1")


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
