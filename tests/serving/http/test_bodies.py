"""Bodies that are too large are refused before they are read whole."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from benchmarks.harness import servers
from core.home import Home
from core.shop import Clock, Shop
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.http.body_limit import MAX_BODY_BYTES
from serving.http.client_paths import CLIENT_PATHS
from serving.routers import ROUTERS
from serving.scores.scorer import Scorer

NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
JSON = {"content-type": "application/json"}
CHUNK = b" " * 2**16
READING: dict[str, str] = {
    route.path: next(iter(route.methods))  # type: ignore[attr-defined]
    for router in ROUTERS
    for route in router.routes
    if route.body_field is not None  # type: ignore[attr-defined]
}
"""A method of each path that reads a body."""


def application(home: Home, log: ScoreLog, keys: Keys) -> FastAPI:
    """The service over a shop that has nothing to score yet."""
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock()))
    scorer = cast(
        Scorer,
        SimpleNamespace(
            home=home,
            identity=Identity(home),
            shop=home.shop(),
            champions=NO_MODELS,
            freshness=FreshnessMonitor(home),
            close=lambda: None,
        ),
    )
    return create_app(scorer, log, keys=keys)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    home = Home(tmp_path / "home")
    with ScoreLog(home) as log, closing(Keys(home)) as keys:
        yield application(home, log, keys)


def post(app: FastAPI, path: str, method: str = "POST", **given: Any) -> httpx.Response:
    """One request, answered in this process."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            return await client.request(method, path, **given)

    return asyncio.run(request())


def chunks(size: int, sent: list[int]) -> AsyncIterator[bytes]:
    """A body of spaces in chunks; notes the bytes that somebody took."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(0, size, len(CHUNK)):
            sent.append(len(CHUNK))
            yield CHUNK

    return body()


def test_every_route_that_reads_json_is_tested_here() -> None:
    assert {"/v1/scores", "/v1/recommendation-runs"} <= set(READING)
    assert not CLIENT_PATHS & set(READING)


@pytest.mark.parametrize("path", READING)
def test_what_says_that_it_is_too_large_is_refused_unread(
    path: str, app: FastAPI, refused: Callable[..., None]
) -> None:
    sent: list[int] = []
    length = {"content-length": str(MAX_BODY_BYTES + 1)}
    content = chunks(4 * MAX_BODY_BYTES, sent)
    answer = post(app, path, READING[path], content=content, headers=JSON | length)
    refused(answer, "the body is larger than 1 MB", 413)
    assert sent == []


@pytest.mark.parametrize("path", READING)
def test_what_turns_out_too_large_is_read_no_further(
    path: str, app: FastAPI, refused: Callable[..., None]
) -> None:
    sent: list[int] = []
    answer = post(app, path, READING[path], content=chunks(4 * MAX_BODY_BYTES, sent), headers=JSON)
    refused(answer, "the body is larger than 1 MB", 413)
    assert sum(sent) == MAX_BODY_BYTES + len(CHUNK)


def test_the_largest_body_is_read_and_a_thousand_long_ids_fit(
    app: FastAPI, refused: Callable[..., None]
) -> None:
    whole = b"[" + b" " * (MAX_BODY_BYTES - 2) + b"]"
    refused(post(app, "/v1/scores", content=whole, headers=JSON), "", 422)
    refused(post(app, "/v1/scores", content=whole + b" ", headers=JSON), "larger than 1 MB", 413)
    ids = ["\N{GRINNING FACE}" * 200] * 1000
    assert len(json.dumps({"customer_ids": ids}, ensure_ascii=False).encode()) <= MAX_BODY_BYTES


def test_routes_of_events_have_a_limit_of_their_own(app: FastAPI) -> None:
    for headers in (JSON, JSON | {"content-length": str(4 * MAX_BODY_BYTES)}):
        answer = post(app, "/v1/batch", content=chunks(4 * MAX_BODY_BYTES, []), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_body_that_nobody_reads_is_not_refused(app: FastAPI) -> None:
    length = {"content-length": str(MAX_BODY_BYTES + 1)}
    assert post(app, "/healthz", headers=length).status_code == 405


def test_the_description_of_the_api_tells_of_it(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            large = "requestBody" in operation and path not in CLIENT_PATHS
            assert ("413" in operation["responses"]) == large


def process() -> FastAPI:
    """What the server process runs."""
    home = Home(Path(os.environ["PATRON_HOME"]))
    return application(home, ScoreLog(home), Keys(home))


def test_over_a_connection_the_client_reads_the_refusal_and_goes_on(tmp_path: Path) -> None:
    environment = {"PATRON_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parent)}
    whole = b" " * (8 * MAX_BODY_BYTES)
    chunked = (CHUNK for _ in range(len(whole) // len(CHUNK)))
    ours = {"ours": servers.uvicorn("test_bodies:process")}
    with (
        servers.running(ours, environment, tmp_path) as started,
        httpx.Client(base_url=f"http://{servers.HOST}:{started['ours'].port}", timeout=60) as client,
    ):
        for content in (whole, chunked):
            answer = client.post("/v1/scores", content=content, headers=JSON)
            assert (answer.status_code, answer.json()["status"]) == (413, 413)
            assert client.get("/healthz").status_code == 200
