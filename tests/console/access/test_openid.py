"""Sign-in by OpenID Connect against a provider over HTTP: who is signed in, and who is not, and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from console.settings import ConsoleSettings
from core.errors import PatronError
from core.home import Home
from records.accounts.accounts import Accounts
from records.accounts.attempts import WINDOW_S, SignInAttempts
from records.accounts.roles import Role
from records.audit.log import AuditLog
from serving.http.services import services_of
from tests.console.access.openid_provider import CLIENT, SECRET, Provider, running_provider

ADA = {"sub": "7f3", "preferred_username": "Ada", "groups": ["staff", "crm-team"]}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    with running_provider() as provider:
        provider.claims = dict(ADA)
        settings = {
            "ISSUER": provider.address, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET,
            "ROLES": "crm-team=marketer, science=scientist",
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(f"PATRON_CONSOLE_OIDC_{name}", value)
        yield provider


def through_the_provider(client: Any, to: str = "/console/segments") -> httpx.Response:
    """Begin at the console, be redirected by the provider, and come back."""
    begun = client.get(f"/console/sign-in/openid?to={to}")
    assert begun.status_code == 303, begun.text
    agreed = httpx.get(begun.headers["location"])
    return client.get(agreed.headers["location"].removeprefix("http://127.0.0.1"))


def test_a_person_is_signed_in_with_the_role_of_a_group_at_each_sign_in(
    provider: Provider, open_local: Callable[[Home], Any], shop_copy: Home
) -> None:
    client = open_local(shop_copy)
    assert client.get("/console").status_code == 303  # not open, though there is no account
    assert 'href="/console/sign-in/openid?to=' in client.get("/console/sign-in").text
    response = through_the_provider(client)
    assert (response.status_code, response.headers["location"]) == (303, "/console/segments")
    assert client.get("/console/segments").status_code in (200, 404)
    assert client.get("/console/models").status_code == 403
    provider.claims["groups"] = "science"  # of one group, a text
    assert through_the_provider(client, "//evil.example").headers["location"] == "/console"
    (account,) = Accounts(shop_copy).all()
    assert (account.name, account.role) == ("ada", Role.SCIENTIST)
    assert client.get("/console/models").status_code != 403
    assert Accounts(shop_copy).sign_in("ada", f"openid {provider.address} 7f3") is None
    with pytest.raises(PatronError, match="has no password here"):
        Accounts(shop_copy).set_password("ada", "correct horse battery")
    Accounts(shop_copy).close("ada")
    assert "is closed" in through_the_provider(client).text
    assert client.get("/console").status_code == 303


def test_whoever_is_not_proven_is_refused_in_words(
    provider: Provider, open_local: Callable[[Home], Any], shop_copy: Home
) -> None:
    client = open_local(shop_copy)
    Accounts(shop_copy).create("ada", "admin", "correct horse battery")

    def refused(status: int, words: str) -> None:
        response = through_the_provider(client)
        assert (response.status_code, words in response.text) == (status, True), response.text
        assert "patron_session" not in response.headers.get("set-cookie", "")

    for wrong in (
        {"nonce": "of another sign-in"}, {"exp": 1}, {"aud": "another client"}, {"iss": "https://evil.example"},
        {"sub": None}, {"azp": "another client"},
    ):  # fmt: skip
        provider.overrides = wrong
        refused(401, "not valid")
    provider.overrides = {}
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
    refused(401, "not valid")
    provider.signs_with = None
    refused(409, "Another account of the console has your name")
    provider.claims["groups"] = ["staff"]
    refused(403, "None of your groups")
    begun = client.get("/console/sign-in/openid")
    agreed = httpx.get(begun.headers["location"]).headers["location"].removeprefix("http://127.0.0.1")
    for altered in (agreed.replace("state=", "state=x"), agreed.partition("state=")[0]):
        response = client.get(altered)
        assert (response.status_code, "begun in another browser" in response.text) == (400, True)
    assert client.get(agreed.replace("code=", "error=access_denied&was=")).status_code == 403
    client.cookies.clear()
    assert client.get(agreed).status_code == 400
    assert AuditLog(shop_copy).newest(1)[0].what == "failed to sign in"
    services_of(client.app).add(SignInAttempts(shop_copy, lambda: time.time() + WINDOW_S))
    provider.address = "http://127.0.0.1:1"  # now its metadata are of another issuer
    assert client.get("/console/sign-in/openid").status_code == 503


def test_a_provider_that_is_away_is_said_and_local_accounts_still_sign_in(
    open_local: Callable[[Home], Any], shop_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_CONSOLE_OIDC_ISSUER", "http://127.0.0.1:1")
    monkeypatch.setenv("PATRON_CONSOLE_OIDC_CLIENT_ID", CLIENT)
    Accounts(shop_copy).create("ada", "viewer", "correct horse battery")
    client = open_local(shop_copy)
    away = client.get("/console/sign-in/openid")
    assert (away.status_code, "cannot be reached" in away.text) == (503, True)
    form = {"name": "ada", "password": "correct horse battery"}
    assert client.post("/console/sign-in", data=form).status_code == 303
    monkeypatch.setenv("PATRON_CONSOLE_LOCAL_SIGN_IN", "false")
    without = open_local(shop_copy)
    assert without.post("/console/sign-in", data=form).status_code == 403
    assert 'name="password"' not in without.get("/console/sign-in").text


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(PatronError, match="OIDC_CLIENT_ID"):
        ConsoleSettings(oidc_issuer="https://login.example").check()
    with pytest.raises(PatronError, match="nobody could sign in"):
        ConsoleSettings(local_sign_in=False).check()
    with pytest.raises(ValueError, match="there is no role 'chef'"):
        ConsoleSettings(oidc_roles="kitchen=chef")
