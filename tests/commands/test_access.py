"""The commands for accounts and for the audit log."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from core.home import Home
from core.storage.database import Database
from records.accounts.accounts import Accounts
from records.audit.tables import audit_log

PASSWORD = "correct horse battery"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    run_patron: Run, empty_home: Home, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command with a line of standard input."""
    if empty_home.database is not None:
        monkeypatch.setenv("PATRON_DATABASE", empty_home.database)

    def run(*words: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
        return run_patron(empty_home, *words)

    return run


def test_accounts_are_created_changed_and_closed_and_the_log_says_so(run: Run, empty_home: Home) -> None:
    assert run("accounts", "list")[:2] == (
        0, "there are no accounts; `patron accounts create NAME --role admin` makes one\n",
    )  # fmt: skip
    code, _, error = run("accounts", "create", "Ada", "--role", "admin", typed="short")
    assert (code, error) == (1, "patron: a password must have 12 to 200 characters\n")
    assert run("accounts", "create", "Ada", "--role", "admin", typed=PASSWORD)[0] == 0
    assert Accounts(empty_home).sign_in("ada", PASSWORD) is not None
    assert run("accounts", "role", "ada", "--role", "viewer")[0] == 0
    assert run("accounts", "password", "ada", typed="another long password")[0] == 0
    assert run("accounts", "close", "ada")[0] == 0
    listed = json.loads(run("accounts", "list", "--json")[1])["accounts"]
    assert listed == [{"name": "ada", "role": "viewer", "closed": True}]
    entries = json.loads(run("audit", "list", "--json")[1])["entries"]
    assert [(entry["what"], entry["about"]) for entry in entries] == [
        ("closed an account", "ada"),
        ("changed a password", "ada"),
        ("changed a role", "ada: viewer"),
        ("created an account", "ada: admin"),
    ]
    assert PASSWORD not in str(entries)


def test_an_edited_log_fails_the_check(run: Run, empty_home: Home) -> None:
    for name in ("ada", "bob", "eve"):
        run("accounts", "create", name, "--role", "viewer", typed=PASSWORD)
    code, text, _ = run("audit", "verify", "--json")
    head = json.loads(text)["head"]
    assert code == 0
    assert run("audit", "verify", "--head", head)[0] == 0
    with Database(empty_home).writing() as connection:
        connection.execute(sa.delete(audit_log).where(audit_log.c.n == 3))
    assert run("audit", "verify")[0] == 0  # the end is missing, which only the head shows
    assert run("audit", "verify", "--head", head)[0] == 3
    with Database(empty_home).writing() as connection:
        connection.execute(sa.update(audit_log).where(audit_log.c.n == 1).values(about="mallory: admin"))
    code, text, _ = run("audit", "verify")
    assert (code, "entry 1 does not fit" in text) == (3, True)
