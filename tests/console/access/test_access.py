"""Sign-in, roles, forms and the audit log of the console."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from benchmarks.harness import servers
from console.app import open_app
from console.navigation import PAGES
from core.home import Home
from records.accounts.accounts import Accounts
from records.accounts.roles import Role
from records.audit.log import AuditLog
from serving.settings import ServingSettings

PASSWORD = "correct horse battery"


def process() -> FastAPI:
    """What the server process runs."""
    return open_app(Home(Path(os.environ["PATRON_HOME"])), ServingSettings())


@pytest.fixture(scope="module")
def home(
    console_home: Home, tmp_path_factory: pytest.TempPathFactory, copy_into: Callable[[Home, Path], Home]
) -> Home:
    home = copy_into(console_home, tmp_path_factory.mktemp("access") / "home")
    for role in Role:
        Accounts(home).create(role.value, role, PASSWORD)
    return home


@pytest.fixture(scope="module")
def service(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("log")
    environment = {"PATRON_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).parent)}
    ours = {"ours": servers.uvicorn("test_access:process")}
    with servers.running(ours, environment, folder) as started:
        yield f"http://{servers.HOST}:{started['ours'].port}"


@pytest.fixture
def sign_in(service: str) -> Iterator[Callable[..., httpx.Client]]:
    clients = []

    def opened(name: str, password: str = PASSWORD) -> httpx.Client:
        client = httpx.Client(base_url=service, timeout=60)
        clients.append(client)
        client.post("/console/sign-in", data={"name": name, "password": password})
        return client

    yield opened
    for client in clients:
        client.close()


def token_of(client: httpx.Client) -> str:
    page = client.get("/console").text
    return page.split('name="form_token" value="')[1].split('"')[0]


def test_without_a_session_every_page_leads_to_the_sign_in(service: str) -> None:
    with httpx.Client(base_url=service) as client:
        for page in PAGES:
            path = f"/console{page.path.replace('{customer_key}', '1')}"
            response = client.get(path)
            assert (response.status_code, response.headers["location"][:19]) == (303, "/console/sign-in?to")
        assert client.get("/console/sign-in").status_code == 200
        wrong = client.post("/console/sign-in", data={"name": "admin", "password": "wrong"})
        assert wrong.status_code == 401
        assert "patron_session" not in wrong.headers.get("set-cookie", "")


def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_the_api(service: str) -> None:
    with httpx.Client(base_url=service) as client:
        answer = client.post("/console/sign-in", data={"name": "admin", "password": PASSWORD, "to": "//evil"})
        assert answer.headers["location"] == "/console"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/console" in cookie


def test_a_form_from_elsewhere_or_of_another_session_changes_nothing(
    service: str, sign_in: Callable[..., httpx.Client]
) -> None:
    client, other = sign_in("viewer"), sign_in("viewer")
    evil = {"origin": "https://evil.example"}
    for data in ({}, {"form_token": "x"}, {"form_token": token_of(other)}):
        client.post("/console/sign-out", data=data)
        assert client.get("/console").status_code == 200  # still signed in
    refused = client.post("/console/sign-in", data={"name": "admin", "password": PASSWORD}, headers=evil)
    assert refused.status_code == 403
    client.post("/console/sign-out", data={"form_token": token_of(client), "everywhere": "yes"})
    assert client.get("/console").status_code == 303
    assert other.get("/console").status_code == 303


def test_a_role_that_changes_applies_at_once(home: Home, sign_in: Callable[..., httpx.Client]) -> None:
    Accounts(home).create("mover", "viewer", PASSWORD)
    client = sign_in("mover")
    assert client.get("/console/customers").status_code == 403
    Accounts(home).set_role("mover", "marketer")
    assert client.get("/console/customers").status_code == 200
    Accounts(home).close("mover")
    assert client.get("/console").status_code == 303


def test_looks_at_customers_and_sign_ins_are_in_the_audit_log(
    home: Home, sign_in: Callable[..., httpx.Client]
) -> None:
    client = sign_in("marketer")
    listed = client.get("/console/customers").text
    address = listed.split('href="/console/customers/')[1].split('"')[0]
    assert client.get(f"/console/customers/{address}").status_code == 200
    assert client.get("/console/export/customers/customers.csv").status_code == 200
    client.post("/console/sign-in", data={"name": "marketer", "password": "no"})
    log = AuditLog(home)
    newest = [(entry.by, entry.what) for entry in log.newest(5)]
    assert newest == [
        ("nobody", "failed to sign in"),
        ("marketer", "exported a table"),
        ("marketer", "looked at a customer"),
        ("marketer", "listed customers"),
        ("marketer", "signed in"),
    ]
    assert log.newest(3)[2].about.isdigit()  # the customer's key, not the id
    assert log.verify().broken_at is None


def test_an_administrator_creates_changes_and_closes_accounts_but_not_the_own(
    home: Home, sign_in: Callable[..., httpx.Client]
) -> None:
    client = sign_in("admin")
    token = {"form_token": token_of(client)}
    new = token | {"name": "grace", "role": "viewer", "password": PASSWORD}
    assert client.post("/console/access/accounts", data=new).status_code == 303
    assert sign_in("grace").get("/console").status_code == 200
    client.post("/console/access/accounts/grace/role", data=token | {"role": "operator"})
    assert {account.name: account.role for account in Accounts(home).all()}["grace"] is Role.OPERATOR
    refused = client.post("/console/access/accounts", data=new | {"password": "short"})
    assert refused.status_code == 409
    assert "12 to 200 characters" in refused.text
    for change in ("role", "close"):
        own = client.post(f"/console/access/accounts/admin/{change}", data=token | {"role": "viewer"})
        assert own.status_code == 409
    assert client.post("/console/access/accounts/grace/close", data=token).status_code == 303
    assert sign_in("grace").get("/console").status_code == 303
    page = client.get("/console/access").text
    assert "closed an account" in page
    for role in ("viewer", "operator", "marketer", "scientist"):
        other = sign_in(role)
        assert other.post("/console/access/accounts", data={"form_token": token_of(other)}).status_code == 403
