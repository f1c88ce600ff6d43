"""Why an answer was given: at once and later from the log; and features that came with the request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from core.home import Home
from features.groups import FEATURES
from models.questions import MODELS
from models.registry.registry import Registry
from records import ScoreLog
from serving.app import create_app
from serving.http.services import services_of
from serving.http.single_worker import MAX_WAITING
from serving.scores import schemas
from serving.scores.explainer import Explainer
from serving.scores.scorer import Scorer, open_scorer

Ask = Callable[..., httpx.Response]
ASK = "/v1/scores"


@pytest.fixture(scope="module")
def app(served: Home) -> Iterator[FastAPI]:
    with ScoreLog(served) as log:
        app = create_app(open_scorer(served, log), log)
        yield app

        async def shut_down() -> None:
            async with app.router.lifespan_context(app):
                pass

        asyncio.run(shut_down())


@pytest.fixture(scope="module")
def ask(app: FastAPI) -> Ask:
    def send(path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
                return await (client.get(path) if body is None else client.post(path, json=body))

        return asyncio.run(sent())

    return send


@pytest.fixture(scope="module")
def ids(app: FastAPI) -> list[str]:
    result: list[str] = services_of(app)[Scorer].identity.table()["customer_id"].to_pylist()
    return result


def entries(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    schemas.ScoresResponse.model_validate_json(response.text, strict=False)
    actual: list[dict[str, Any]] = response.json()["customers"]
    return actual


def logged(ask: Ask, prediction_id: str) -> dict[str, Any]:
    response = ask(f"/v1/explanations/{prediction_id}")
    assert response.status_code == 200, response.text
    actual: dict[str, Any] = response.json()
    return actual


def test_plain_answers_have_the_documented_shape_and_nothing_more(ask: Ask, ids: list[str]) -> None:
    for entry in entries(ask(ASK, {"customer_ids": [*ids[:3], "nobody"]})):
        whole = schemas.CustomerScores.model_validate(entry).model_dump(mode="json", exclude={"features"})
        given = {
            name: {key: score[key] for key in entry["scores"][name]}
            for name, score in whole["scores"].items()
        }
        assert whole | {"scores": given} == entry
        assert set(entry["scores"]["churn"]) == set(schemas.ModelScore.model_fields)


def test_parts_make_the_score_and_the_raw_score_and_features_have_moments(ask: Ask, ids: list[str]) -> None:
    plain = entries(ask(ASK, {"customer_ids": ids[:20]}))
    explained = entries(ask(ASK, {"customer_ids": ids[:20], "explain": True}))
    seen = 0
    for before, entry in zip(plain, explained, strict=True):
        for name, score in entry["scores"].items():
            assert {key: score[key] for key in before["scores"][name]} == before["scores"][name]
            if score["score"] is None:
                assert (score["reasons"], score["base"]) == ([], None)
                continue
            seen += 1
            parts, raw_parts = (
                [reason[key] for reason in score["reasons"]] for key in ("contribution", "raw_contribution")
            )
            assert score["base"] + sum(parts) + score["rest"] == pytest.approx(
                score["score"], rel=1e-9, abs=1e-9
            )
            raw_total = score["bias"] + sum(raw_parts) + score["raw_rest"]
            assert raw_total == pytest.approx(score["raw_score"], rel=0, abs=1e-9)
            for reason in score["reasons"]:
                basis = entry["features"][reason["feature"]]
                assert basis["value"] == reason["value"]
                assert basis["as_of"] is not None
        needed = {feature.name for model in MODELS.values() for feature in model.features}
        assert needed <= set(entry["features"])
    assert seen > 20


def test_who_is_not_known_has_no_reasons_and_an_answer_of_the_same_shape(ask: Ask) -> None:
    plain, why = (
        entries(ask(ASK, {"customer_ids": ["nobody"], "explain": explain}))[0] for explain in (False, True)
    )
    assert why == plain | {"features": {}}


def test_later_the_log_says_the_same_by_the_versions_of_then(ask: Ask, ids: list[str], served: Home) -> None:
    body = {"customer_ids": ids[30:32], "explain": True, "context": {"orders_90d": 7}}
    for entry in entries(ask(ASK, body)):
        later = logged(ask, entry["prediction_id"])
        assert later["customer_id"] == entry["customer_id"]
        assert later["scores"] == entry["scores"]
        assert later["features"] == entry["features"]
        assert later["features_as_of"] == entry["features_as_of"]
        (version,) = (v.version for v in Registry(served).versions("churn") if v.champion)
        assert later["scores"]["churn"]["version"] == version
    assert ask("/v1/explanations/nothing").status_code == 404


def test_a_prediction_has_an_id_of_its_own_and_who_is_not_known_has_none(ask: Ask, ids: list[str]) -> None:
    result = [entries(ask(ASK, {"customer_ids": [*ids[:5], "nobody"]})) for _ in range(3)]
    given = [entry["prediction_id"] for answer in result for entry in answer[:-1]]
    assert len({*given}) == len(given) == 15
    assert {answer[-1]["prediction_id"] for answer in result} == {None}


def test_facts_of_the_request_take_the_place_of_the_stores(ask: Ask, ids: list[str]) -> None:
    """A silence of no days, told by the request, is one as the store would tell it."""
    reads = {feature.name for feature in MODELS["churn"].features}
    assert "recency_days" in reads
    request = {"customer_ids": ids[:20], "models": ["churn"], "explain": True}
    changed = 0
    for plain, given in zip(
        entries(ask(ASK, request)), entries(ask(ASK, request | {"context": {"recency_days": 0}})), strict=True
    ):
        if plain["scores"]["churn"]["score"] is None or given["scores"]["churn"]["score"] is None:
            continue
        changed += plain["scores"]["churn"]["score"] != given["scores"]["churn"]["score"]
        assert given["features"]["recency_days"] == {"value": 0, "as_of": None, "from_request": True}
        others = {name for name in given["features"] if name != "recency_days"}
        assert {name: given["features"][name] for name in others} == {
            name: plain["features"][name] for name in others
        }
    assert changed > 2


@pytest.mark.parametrize(
    ("dtype", "bad", "words"),
    [
        ("int64", [1.5, True, "1", 2**63, -(2**63) - 1], "whole number"),
        ("float64", ["1", True, 10**400], "number"),
        ("string", [1, True, "x" * 201], "text"),
    ],
)
def test_facts_that_are_not_of_the_features_type_are_refused(
    ask: Ask, ids: list[str], dtype: str, bad: list[Any], words: str
) -> None:
    name = next(feature.name for feature in FEATURES.values() if feature.dtype == dtype)
    for value in bad:
        response = ask(ASK, {"customer_ids": ids[:1], "context": {name: value}})
        assert response.status_code == 422, (name, value, response.text)
        assert name in response.json()["detail"]
        assert words in response.json()["detail"]
    assert entries(ask(ASK, {"customer_ids": ids[:1], "context": {name: None}}))


def test_a_fact_that_is_no_feature_is_refused_and_so_are_too_many_explanations(
    ask: Ask, ids: list[str]
) -> None:
    response = ask(ASK, {"customer_ids": ids[:1], "context": {"mood": 1}})
    assert response.status_code == 422
    assert "the store has no feature 'mood'" in response.json()["detail"]
    response = ask(ASK, {"customer_ids": ids[:21], "explain": True})
    assert response.status_code == 422
    assert "at most" in response.json()["detail"]


def test_past_so_many_who_wait_for_explanations_others_are_told_to_come_back_and_plain_scores_go_on(
    app: FastAPI, ids: list[str]
) -> None:
    end = threading.Event()

    async def load() -> tuple[list[httpx.Response], httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            blocked = asyncio.ensure_future(services_of(app)[Explainer].run(lambda: end.wait(30)))
            request = {"customer_ids": ids[:1], "explain": True}
            waiting = [asyncio.ensure_future(client.post(ASK, json=request)) for _ in range(MAX_WAITING + 3)]
            plain = await client.post(ASK, json={"customer_ids": ids[:1]})
            end.set()
            await blocked
            return [await each for each in waiting], plain

    explained, plain = asyncio.run(load())
    assert plain.status_code == 200
    statuses = [response.status_code for response in explained]
    assert statuses.count(200) == MAX_WAITING - 1
    assert statuses.count(503) == 4
    refused = next(response for response in explained if response.status_code == 503)
    assert refused.headers["retry-after"] == "1"
