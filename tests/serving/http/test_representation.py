"""HEAD, conditional requests and compression."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from core.home import Home
from serving.http.representation import MIN_BYTES, RepresentationMiddleware
from serving.routers import ROUTERS

Get = Callable[..., httpx.Response]
POLLED = ("/v1/models", "/v1/segments", "/openapi.json")


def routes() -> list[str]:
    """The paths of all routes that answer GET."""
    all_routes: list[Any] = [route for router in ROUTERS for route in router.routes]
    own = {route.path_format for route in all_routes if "GET" in route.methods}
    return sorted(own | {"/openapi.json", "/docs", "/redoc"})


def test_head_answers_as_get_does_without_a_body(open_shop: Home, answering: Callable[..., Any]) -> None:
    volatile = ("x-request-id", "server-timing", "content-length", "etag", "content-encoding", "vary")
    with answering(open_shop) as get:
        for path in routes():
            filled = path.replace("{customer_id}", "C000001")
            both = [get(filled, method=method) for method in ("GET", "HEAD")]
            assert both[0].status_code == both[1].status_code != 405, path
            assert both[1].content == b"", path
            headers = [
                {name: text for name, text in response.headers.items() if name not in volatile}
                for response in both
            ]
            assert headers[0] == headers[1], path
            if path in POLLED:
                assert both[0].headers["content-length"] == both[1].headers["content-length"]


def test_who_polls_gets_304_until_something_changes(
    open_shop: Home, answering: Callable[..., Any], until: Callable[[Callable[[], bool]], None]
) -> None:
    with answering(open_shop) as get:
        job = f"/v1/score-jobs/{get('/v1/score-jobs', method='POST', json={}).json()['job_id']}"
        until(lambda: get(job).json()["status"] == "done")
        for path in (*POLLED, job):
            first = get(path)
            tag = first.headers["etag"]
            for sent in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
                again = get(path, headers={"if-none-match": sent})
                assert (again.status_code, again.content) == (304, b""), (path, sent)
                assert again.headers["etag"] == tag
                assert "content-length" not in again.headers
            assert get(path, headers={"if-none-match": '"other"'}).content == first.content
        assert "etag" not in get("/metrics").headers
        assert "etag" not in get("/v1/customers/nobody").headers


@pytest.fixture(scope="module")
def ask() -> Callable[..., tuple[httpx.Response, bytes]]:
    """A function (method, path, accepted): the response of an application, and its body as it was sent."""
    app = FastAPI()
    app.add_middleware(RepresentationMiddleware)

    @app.get("/json/{size}")
    @app.post("/json/{size}")
    async def _json(size: int) -> str:
        return "x" * (size - 2)

    @app.get("/lines")
    async def _lines() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for number in range(1000):
                yield json.dumps({"number": number}) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def send(method: str, path: str, accepted: str) -> tuple[httpx.Response, bytes]:
        transport = httpx.ASGITransport(app=app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://patron") as client,
            client.stream(method, path, headers={"accept-encoding": accepted}) as response,
        ):
            return response, b"".join([part async for part in response.aiter_raw()])

    return lambda *given: asyncio.run(send(*given))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("size", [10, MIN_BYTES - 1, MIN_BYTES, 500_000])
def test_large_bodies_are_compressed_where_that_is_accepted(
    ask: Callable[..., tuple[httpx.Response, bytes]], method: str, size: int
) -> None:
    large, content = size >= MIN_BYTES, b'"' + b"x" * (size - 2) + b'"'
    for accepted in ("gzip", "deflate, gzip;q=0.5", "*"):
        response, raw = ask(method, f"/json/{size}", accepted)
        assert response.headers.get("content-encoding") == ("gzip" if large else None)
        assert response.headers["content-length"] == str(len(raw))
        assert (gzip.decompress(raw) if large else raw) == content
        assert response.headers.get("vary") == ("accept-encoding" if large else None)
    for refused in ("identity", "gzip;q=0", "br", "xgzip"):
        response, raw = ask(method, f"/json/{size}", refused)
        assert "content-encoding" not in response.headers
        assert raw == content


def test_a_stream_is_compressed_part_by_part(ask: Callable[..., tuple[httpx.Response, bytes]]) -> None:
    lines = zlib.decompress(ask("GET", "/lines", "gzip")[1], 16 + zlib.MAX_WBITS).splitlines()
    assert [json.loads(line)["number"] for line in lines] == [*range(1000)]
    assert ask("GET", "/lines", "identity")[1].splitlines() == lines
    assert ask("HEAD", "/lines", "gzip")[1] == b""
