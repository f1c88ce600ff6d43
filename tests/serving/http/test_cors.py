"""Web pages of other origins: those that are allowed may send events, and reach nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.routing import compile_path

from core.errors import NothingThere
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.http.client_paths import CLIENT_PATHS
from serving.scores.scorer import Scorer
from serving.settings import ServingSettings

SHOP, STRANGER = "https://shop.example", "https://stranger.example"
EVENT = {"userId": "c1", "event": "e", "messageId": "1"}
NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
Ask = Callable[..., httpx.Response]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock()))
    return home


@pytest.fixture
def key(home: Home) -> str:
    return Keys(home).create("shop", ["all"])[1]


@pytest.fixture
def service(home: Home) -> Iterator[Callable[..., tuple[FastAPI, Ask]]]:
    """A function (*origins, keys_needed=False): the service for their pages, and requests to it."""
    with ScoreLog(home) as log, closing(Keys(home)) as keys:

        def create(*origins: str, keys_needed: bool = False) -> tuple[FastAPI, Ask]:
            scorer = SimpleNamespace(
                home=home,
                identity=Identity(home),
                shop=home.shop(),
                champions=NO_MODELS,
                freshness=FreshnessMonitor(home),
                close=lambda: None,
            )
            app = create_app(cast(Scorer, scorer), log, keys=keys, keys_needed=keys_needed, origins=origins)

            def ask(method: str, path: str, origin: str, **given: Any) -> httpx.Response:
                headers = {"origin": origin} | given.pop("headers", {})

                async def request() -> httpx.Response:
                    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                    async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
                        return await client.request(method, path, headers=headers, **given)

                return asyncio.run(request())

            return app, ask

        yield create


def preflight(ask: Ask, path: str, origin: str, method: str = "POST") -> httpx.Response:
    headers = {
        "access-control-request-method": method,
        "access-control-request-headers": "anonymousid,authorization,content-type,x-retry-count",
    }
    return ask("OPTIONS", path, origin, headers=headers)


def cors(response: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k.startswith("access-control-allow")}


def stored(home: Home) -> int:
    try:
        return journal.arrived(Database(home))
    except NothingThere:
        return 0


@pytest.mark.parametrize("path", sorted(CLIENT_PATHS))
def test_pages_of_allowed_origins_may_send_events(
    path: str, service: Callable[..., tuple[FastAPI, Ask]], key: str
) -> None:
    _, ask = service("https://other.example", SHOP, keys_needed=True)
    allowed = preflight(ask, path, SHOP)
    assert allowed.status_code == 200
    assert cors(allowed) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "anonymousid,authorization,content-type,x-retry-count",
    }
    assert "Origin" in allowed.headers["vary"]
    body = {"batch": []} | EVENT | {"groupId": "g", "previousId": "p"}
    for sent in ({"writeKey": key}, {}):
        answer = ask("POST", path, SHOP, json=body | sent)
        assert answer.status_code == (200 if sent else 401)
        assert cors(answer) == {"access-control-allow-origin": SHOP}  # also of an error, which the page reads
        assert answer.headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
        assert "Origin" in answer.headers["vary"]


def test_pages_of_other_origins_may_not(service: Callable[..., tuple[FastAPI, Ask]], key: str) -> None:
    _, ask = service(SHOP)
    for origin in (STRANGER, "null", "http://shop.example", f"{SHOP}:8443", f"{SHOP}.stranger.example"):
        refused = preflight(ask, "/v1/track", origin)
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        answer = ask("POST", "/v1/track", origin, json=EVENT | {"writeKey": key})
        assert cors(answer) == {}
    assert preflight(ask, "/v1/track", SHOP, "DELETE").status_code == 400


def test_by_default_there_are_none(service: Callable[..., tuple[FastAPI, Ask]], key: str) -> None:
    _, ask = service()
    for path in CLIENT_PATHS:
        assert preflight(ask, path, SHOP).status_code == 405
        assert cors(ask("POST", path, SHOP, json=EVENT | {"batch": [], "writeKey": key})) == {}


@pytest.mark.parametrize("origins", [(SHOP,), ("*",)])
def test_nothing_else_answers_other_origins(
    origins: tuple[str, ...], service: Callable[..., tuple[FastAPI, Ask]], key: str
) -> None:
    app, ask = service(*origins)
    reachable = set()
    paths = [*app.openapi()["paths"], "/docs", "/openapi.json", "/nothing", "/v1/track/", "//b"]
    assert {"/v1/scores", "/v1/customers/{customer_id}", "/metrics"} <= set(paths)
    for path in paths:
        example = path.replace("{", "").replace("}", "")
        assert compile_path(path)[0].match(example)
        answers = [preflight(ask, example, SHOP)]
        answers += [ask(method, example, SHOP, headers={"authorization": f"Bearer {key}"}) for method in
                    ("GET", "POST")]  # fmt: skip
        if any(cors(answer) for answer in answers):
            reachable.add(path)
    assert reachable == CLIENT_PATHS & set(paths)


def test_every_origin_may_be_allowed_and_credentials_never(
    service: Callable[..., tuple[FastAPI, Ask]], key: str
) -> None:
    _, ask = service("*")
    for origin in (SHOP, STRANGER, "null", "capacitor://localhost"):
        for cookie in ({}, {"cookie": "session=1"}):
            answer = ask("POST", "/v1/track", origin, json=EVENT | {"writeKey": key}, headers=cookie)
            assert (answer.status_code, cors(answer)) == (200, {"access-control-allow-origin": "*"})
        assert preflight(ask, "/v1/track", origin).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("origins", [(), (SHOP,), ("*",)])
def test_without_a_key_no_page_of_another_origin_can_send(
    origins: tuple[str, ...], service: Callable[..., tuple[FastAPI, Ask]], home: Home, key: str
) -> None:
    _, ask = service(*origins)
    for origin in (SHOP, STRANGER, "null", "https://patron:8443", "https://patron.example"):
        for sent in ({}, {"writeKey": "wrong"}):
            answer = ask("POST", "/v1/track", origin, json=EVENT | sent)
            assert answer.status_code == 401
            assert "a page of another origin needs a key" in answer.json()["detail"]
    assert stored(home) == 0
    assert ask("POST", "/v1/track", "http://patron", json=EVENT).status_code == 200  # as from /docs
    assert stored(home) == 1


def test_origins_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServingSettings().origins == ()
    good = {
        "": (),
        "https://Shop.Example": (SHOP,),
        f" {SHOP} , http://localhost:3000,": (SHOP, "http://localhost:3000"),
        "http://[::1]:3000,capacitor://localhost": ("http://[::1]:3000", "capacitor://localhost"),
        "*": ("*",),
    }
    for text, origins in good.items():
        monkeypatch.setenv("PATRON_CORS_ORIGINS", text)
        assert ServingSettings().origins == origins
    for text in ("shop.example", f"{SHOP}/", f"{SHOP}/page", "https://*.shop.example", "https://a b", "null",
                 "https://u@shop.example", f"{SHOP};{STRANGER}"):  # fmt: skip
        monkeypatch.setenv("PATRON_CORS_ORIGINS", text)
        with pytest.raises(ValidationError, match=r"is not an origin; write `https://shop\.example`"):
            ServingSettings()
