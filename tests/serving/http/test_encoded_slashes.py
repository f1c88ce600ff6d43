"""Ids with slashes in paths: each is reachable, and is never read as another customer's resource."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from serving.http.encoded_slashes import CustomerRoute


@pytest.fixture(scope="module")
def get() -> Callable[[str], list[str]]:
    router = APIRouter(prefix="/v1/customers", route_class=CustomerRoute)

    @router.get("/{customer_id:path}/timeline")
    def timeline(customer_id: str) -> list[str]:
        return ["timeline", customer_id]

    @router.get("/{customer_id:path}")
    def portrait(customer_id: str) -> list[str]:
        return ["portrait", customer_id]

    app = FastAPI()
    app.include_router(router)

    async def request(path: str) -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = (await client.get(path)).json()
        assert isinstance(response, list)
        return response

    return lambda path: asyncio.run(request(path))


@pytest.mark.parametrize(
    "customer_id",
    [
        "x",
        "x/timeline",
        "/timeline",
        "timeline",
        "a/b",
        "x%2Ftimeline",
        "x%252Ftimeline",
        "客户/timeline",
        "//",
        "x/",
        "x\n",
        "\n/timeline\n",
        "é\u200b\n",
    ],
)
def test_an_encoded_id_is_one_part_of_the_path(get: Callable[[str], list[str]], customer_id: str) -> None:
    encoded = quote(customer_id, safe="")
    for spelling in {encoded, encoded.replace("%2F", "%2f")}:
        assert get(f"/v1/customers/{spelling}") == ["portrait", customer_id]
        assert get(f"/v1/customers/{spelling}/timeline") == ["timeline", customer_id]


def test_slashes_that_are_not_encoded_are_those_of_the_path(get: Callable[[str], list[str]]) -> None:
    assert get("/v1/customers/a/b") == ["portrait", "a/b"]
    assert get("/v1/customers/a/b/timeline") == ["timeline", "a/b"]
