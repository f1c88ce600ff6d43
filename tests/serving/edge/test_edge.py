"""Hosts, response headers and the documentation: what every route shares, over the whole route table."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError

from core.home import Home
from records import ScoreLog
from serving.access.keys import Keys
from serving.access.scopes import Scope
from serving.app import create_app
from serving.edge.hosts import AllowedHosts, hosts_of
from serving.scores.scorer import Scorer, open_scorer
from serving.settings import ServingSettings

DOCUMENTATION = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs/swagger-ui.css")


@pytest.fixture(scope="module")
def opened(
    trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any
) -> Iterator[tuple[Scorer, ScoreLog]]:
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("edge") / "home")
    with ScoreLog(home) as log:
        yield open_scorer(home, log), log


@pytest.fixture(scope="module")
def keys(opened: tuple[Scorer, ScoreLog]) -> Keys:
    return Keys(opened[0].home, recheck_seconds=0)


@pytest.fixture(scope="module")
def app(opened: tuple[Scorer, ScoreLog], keys: Keys) -> FastAPI:
    """The service where other machines reach it."""
    return create_app(*opened, keys=keys, keys_needed=True, hosts=AllowedHosts(["patron"], "127.0.0.1"))


@pytest.fixture(scope="module")
def secret(keys: Keys) -> str:
    return keys.create("first", [Scope.ALL])[1]


def ask(
    app: FastAPI, path: str, method: str = "GET", host: str | None = "patron", **given: Any
) -> httpx.Response:
    """One request, answered in this process."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            message = client.build_request(method, path, **given)
            message.headers["host"] = host or ""
            return await client.send(message)

    return asyncio.run(request())


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every operation of the application with a path, also those that OpenAPI does not show."""
    return [
        (method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in iter_route_contexts(app.routes)
        for method in sorted(getattr(route, "methods", None) or {"GET"})
        if route.path
    ]


# Headers


def test_every_answer_of_every_route_has_the_headers(app: FastAPI, secret: str) -> None:
    key, others = {"authorization": f"Bearer {secret}"}, ["/nothing", *DOCUMENTATION]
    operations = [*routes(app), *(("GET", path) for path in others), ("PATCH", "/v1/scores")]
    assert len(operations) > 40
    for method, path in operations:
        for headers, host in ((key, "patron"), ({}, "patron"), (key, "evil.example")):
            response = ask(app, path, method, host, headers=headers)
            where = f"{method} {path}: {response.status_code}"
            assert response.status_code != 500, where
            assert response.headers["x-content-type-options"] == "nosniff", where
            assert response.headers["referrer-policy"] == "no-referrer", where
            assert response.headers["x-frame-options"] == "DENY", where
            assert response.headers["cache-control"] == "no-store", where
            policy = response.headers["content-security-policy"]
            page = response.headers.get("content-type", "").startswith("text/html")
            assert "frame-ancestors 'none'" in policy, where
            assert policy.startswith("default-src 'self'" if page else "default-src 'none'"), where
            for name in ("cache-control", "content-security-policy", "x-content-type-options"):
                assert len(response.headers.get_list(name)) == 1, where


def test_an_unexpected_error_has_them_too(opened: tuple[Scorer, ScoreLog]) -> None:
    app = create_app(*opened)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("of a test")

    response = ask(app, "/broken")
    assert response.status_code == 500
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


# Hosts


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.5", "", "patron@evil"]
)
def test_no_route_answers_a_page_whose_name_was_rebound(host: str, app: FastAPI, secret: str) -> None:
    for method, path in routes(app):
        response = ask(app, path, method, host, headers={"authorization": f"Bearer {secret}"})
        assert response.status_code == 421, f"{method} {path}"
    response = ask(app, "/healthz", host=host)
    assert response.headers["content-type"] == "application/problem+json"
    assert "PATRON_ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize(
    ("listening_on", "names", "allowed", "refused"),
    [
        ("127.0.0.1", "", "localhost LOCALHOST:8000 127.0.0.1:1 [::1]:8000 localhost.", "10.0.0.5 a.example"),
        ("10.0.0.5", "", "10.0.0.5:8000 localhost", "10.0.0.6 shop.example"),
        ("0.0.0.0", "", "10.0.0.5 192.168.1.2:8000 [fe80::1]:80 localhost", "a.example 10.0.0.5.a.example"),
        ("::", "", "10.0.0.5 [fe80::1]:80", "shop.example"),
        ("0.0.0.0", "api, Shop.example", "api:8000 shop.example", "other.example"),
        ("127.0.0.1", "*.shop.example", "a.shop.example a.b.shop.example:8000", "shop.example xshop.example"),
        ("patron.local", "", "patron.local", "local"),
        ("127.0.0.1", "*", "anything.example", ""),
    ],
)  # fmt: skip
def test_hosts_by_setting(listening_on: str, names: str, allowed: str, refused: str) -> None:
    hosts = ServingSettings(host=listening_on, allowed_hosts=names).hosts
    for _ in range(2):  # the second time from memory
        assert [host for host in allowed.split() if not hosts.allow(host.encode())] == []
        assert [host for host in refused.split() if hosts.allow(host.encode())] == []


@pytest.mark.parametrize(
    "text", ["http://shop.example", "shop.example:8000", "shop.example/path", "a b", "*.*"]
)
def test_what_is_no_host_name_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name; write"):
        hosts_of(text)
    with pytest.raises(ValidationError, match="is not a host name"):
        ServingSettings(allowed_hosts=text)


def test_a_request_without_a_host_is_a_programs_and_two_are_refused(app: FastAPI) -> None:
    async def status(hosts: list[bytes]) -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        scope = {
            "type": "http", "method": "GET", "path": "/healthz", "raw_path": b"/healthz", "query_string": b"",
            "headers": [(b"host", host) for host in hosts], "scheme": "http", "http_version": "1.0",
            "server": ("patron", 80), "client": ("127.0.0.1", 1), "root_path": "", "state": {},
        }  # fmt: skip
        await app(scope, receive, send)
        return statuses[0]

    assert asyncio.run(status([])) == 200
    assert asyncio.run(status([b"localhost", b"localhost"])) == 400


# The documentation


def test_the_documentation_needs_a_key_of_any_scope_where_others_do(app: FastAPI, keys: Keys) -> None:
    _, secret = keys.create("reader", [Scope.EVENTS])
    basic = base64.b64encode(f"{secret}:".encode()).decode()
    for path in DOCUMENTATION:
        closed = ask(app, path)
        assert closed.status_code == 401, path
        assert "Basic" in closed.headers["www-authenticate"]  # so that a browser asks for the key
        assert ask(app, path, headers={"authorization": f"Bearer {secret}"}).status_code == 200
        assert ask(app, path, headers={"authorization": f"Basic {basic}"}).status_code == 200
        assert ask(app, path, headers={"authorization": "Bearer patron_wrong"}).status_code == 401


def test_the_documentation_is_open_by_setting_and_where_no_key_is_needed(
    opened: tuple[Scorer, ScoreLog], keys: Keys
) -> None:
    by_setting = create_app(*opened, keys=keys, keys_needed=True, open_docs=True)
    on_loopback = create_app(*opened, keys=keys)
    for path in DOCUMENTATION:
        assert ask(by_setting, path).status_code == ask(on_loopback, path).status_code == 200
    assert ask(by_setting, "/v1/models").status_code == 401
