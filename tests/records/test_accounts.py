"""Accounts with passwords, and sessions on the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from records.accounts.accounts import LOCK_US, MAX_FAILURES, Accounts
from records.accounts.roles import Role
from records.accounts.sessions import IDLE_US, LIFETIME_US, Sessions
from records.accounts.tables import accounts as table
from serving.access.scopes import Scope

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Wall time that a test moves, in seconds."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(empty_home: Home, clock: Clock) -> Accounts:
    return Accounts(empty_home, clock)


@pytest.fixture
def sessions(empty_home: Home, clock: Clock) -> Sessions:
    return Sessions(empty_home, clock)


def test_the_scopes_of_roles_exist() -> None:
    assert frozenset().union(*(role.scopes for role in Role)) <= set(Scope)


def test_a_name_and_its_password_sign_in_and_nothing_else_does(accounts: Accounts, empty_home: Home) -> None:
    assert accounts.sign_in("ada", PASSWORD) is None  # no account, no database
    assert not accounts.there_are_any()
    made = accounts.create(" Ada ", "marketer", PASSWORD)
    assert (made.name, made.role) == ("ada", Role.MARKETER)
    assert accounts.sign_in("ADA", PASSWORD) == made
    for name, password in (("ada", "wrong"), ("ada", ""), ("eve", PASSWORD), ("", PASSWORD)):
        assert accounts.sign_in(name, password) is None
    with Database(empty_home).reading() as connection:
        stored = connection.execute(sa.select(table.c.password)).scalar_one()
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


@pytest.mark.parametrize(
    ("name", "role", "password", "text"),
    [
        ("ada", "marketer", "short", "12 to 200 characters"),
        ("ada", "marketer", "x" * 201, "12 to 200 characters"),
        ("ada", "king", PASSWORD, "viewer, marketer, scientist, operator, admin"),
        (" ", "viewer", PASSWORD, "1 to 60 printable"),
        ("a\nb", "viewer", PASSWORD, "1 to 60 printable"),
        ("Bob", "viewer", PASSWORD, "already"),
    ],
)
def test_what_is_no_account_is_refused(
    name: str, role: str, password: str, text: str, accounts: Accounts
) -> None:
    accounts.create("bob", "viewer", PASSWORD)
    with pytest.raises(PatronError, match=text):
        accounts.create(name, role, password)


def test_wrong_passwords_lock_an_account_for_a_while(accounts: Accounts, clock: Clock) -> None:
    accounts.create("ada", "admin", PASSWORD)
    for _ in range(MAX_FAILURES):
        assert accounts.sign_in("ada", "wrong wrong wrong") is None
    with pytest.raises(PatronError, match="wait 15 minutes"):
        accounts.sign_in("ada", PASSWORD)
    clock.seconds += LOCK_US / 1e6 + 1
    assert accounts.sign_in("ada", PASSWORD) is not None


def test_wrong_passwords_at_once_count_each(accounts: Accounts) -> None:
    accounts.create("ada", "admin", PASSWORD)
    with ThreadPoolExecutor(MAX_FAILURES) as pool:
        attempts = pool.map(lambda i: accounts.sign_in("ada", f"wrong wrong {i}"), range(MAX_FAILURES))
        assert list(attempts) == [None] * MAX_FAILURES
    with pytest.raises(PatronError, match="is locked"):
        accounts.sign_in("ada", PASSWORD)


def test_a_right_password_in_between_begins_the_count_anew(accounts: Accounts) -> None:
    accounts.create("ada", "admin", PASSWORD)
    for _ in range(2):
        for _ in range(MAX_FAILURES - 1):
            assert accounts.sign_in("ada", "wrong wrong wrong") is None
        assert accounts.sign_in("ada", PASSWORD) is not None


def test_a_session_has_the_present_role_and_ends_in_every_way(
    accounts: Accounts, sessions: Sessions, clock: Clock
) -> None:
    assert sessions.find("nothing") is None
    ada = accounts.create("ada", "viewer", PASSWORD)
    first, second = sessions.open(ada.number), sessions.open(ada.number)
    session = sessions.find(first)
    assert session is not None
    assert (session.account, session.role) == ("ada", Role.VIEWER)
    assert session.form_token != getattr(sessions.find(second), "form_token", None)
    accounts.set_role("ada", "admin")
    assert sessions.find(first).role is Role.ADMIN  # type: ignore[union-attr]
    sessions.close(first)
    assert (sessions.find(first), sessions.find(second) is None) == (None, False)
    third = sessions.open(ada.number)
    sessions.close(third, everywhere=True)
    assert sessions.find(second) is None
    idle = sessions.open(ada.number)
    clock.seconds += IDLE_US / 1e6 - 1
    assert sessions.find(idle) is not None  # which counts as a use
    clock.seconds += IDLE_US / 1e6 - 1
    assert sessions.find(idle) is not None
    clock.seconds += IDLE_US / 1e6 + 1
    assert sessions.find(idle) is None
    old = sessions.open(ada.number)
    for _ in range(int(LIFETIME_US / IDLE_US) + 1):
        clock.seconds += IDLE_US / 1e6 - 1
        sessions.find(old)
    assert sessions.find(old) is None


@pytest.mark.parametrize("change", ["set_password", "close"])
def test_a_new_password_and_a_closed_account_end_all_sessions(
    change: str, accounts: Accounts, sessions: Sessions
) -> None:
    token = sessions.open(accounts.create("ada", "viewer", PASSWORD).number)
    if change == "close":
        accounts.close("ada")
        assert accounts.sign_in("ada", PASSWORD) is None
        assert not accounts.there_are_any()
    else:
        accounts.set_password("ada", "another long password")
        assert accounts.sign_in("ada", PASSWORD) is None
    assert sessions.find(token) is None
    with pytest.raises(PatronError, match="no account 'eve'"):
        accounts.close("eve")
