"""Monthly key figures and cohorts over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest

from core.home import Home
from features.offline import kpis

Get = Callable[..., httpx.Response]


def test_the_key_figures_and_cohorts_are_those_of_the_build(get: Get, served: Home) -> None:
    for name, unit in ((kpis.KPIS, "months"), (kpis.COHORTS, "cohorts")):
        stored = kpis.read(served, name)
        assert len(stored[unit]) > 24
        body = get(f"/v1/{name}").json()
        assert body.pop("as_of").replace("Z", "+00:00") == stored["as_of"]
        assert body == {key: value for key, value in kpis.latest(stored, 24).items() if key != "as_of"}
        assert get(f"/v1/{name}", params={unit: 600}).json()[unit] == stored[unit]
        assert get(f"/v1/{name}", params={unit: 1}).json()[unit] == stored[unit][-1:]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/kpis?months=0", "months"),
        ("/v1/kpis?months=601", "months"),
        ("/v1/kpis?since=2020", "not permitted"),
        ("/v1/cohorts?cohorts=0", "cohorts"),
    ],
)
def test_wrong_queries_are_refused(path: str, words: str, get: Get, refused: Callable[..., None]) -> None:
    refused(get(path), words)


def test_a_home_of_an_earlier_release_has_none_before_the_next_build(
    answering: Callable[[Home], AbstractContextManager[Get]],
    trained_copy: Home,
    refused: Callable[..., None],
) -> None:
    for path in trained_copy.snapshots.rglob("kpis.json"):
        path.unlink()
    with answering(trained_copy) as ask:
        refused(ask("/v1/kpis"), "patron build", 503)
        assert ask("/v1/cohorts").status_code == 200


def test_a_client_that_has_them_gets_304(get: Get) -> None:
    tag = get("/v1/kpis").headers["etag"]
    assert get("/v1/kpis", headers={"if-none-match": tag}).status_code == 304
