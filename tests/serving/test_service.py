"""The service: in this process over ASGI, and as a real process over HTTP until a signal ends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal, start_blocking_portal

import records as logs
from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline.snapshot_set import SnapshotSet
from models.questions import MODELS
from models.registry.registry import Registry
from records import ScoreLog, predictions
from serving.app import create_app
from serving.scores.scorer import Scorer, open_scorer

ROOT = Path(__file__).parents[2]
ASK = "/v1/scores"


class Client:
    """Requests to an application in this process, answered on an event loop in a thread of its own."""

    def __init__(self, app: Any, portal: BlockingPortal) -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._portal, self._client = portal, httpx.AsyncClient(transport=transport, base_url="http://patron")

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        response: httpx.Response = self._portal.call(partial(self._client.request, method, path, **given))
        return response

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)


@contextmanager
def open_client(home: Home, log: ScoreLog) -> Iterator[Client]:
    """The service over a home; at the end it shuts down as under a server."""
    app = create_app(open_scorer(home, log), log)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Client(app, portal)


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    """A copy of the trained shop whose log is this module's."""
    return copy_trained(trained_shop, tmp_path_factory.mktemp("service") / "home")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[Client]:
    with ScoreLog(home) as log, open_client(home, log) as client:
        yield client


@pytest.fixture(scope="module")
def ids(home: Home) -> list[str]:
    """All customers' ids, by key."""
    result: list[str] = Identity(home).table()["customer_id"].to_pylist()
    return result


@pytest.fixture(scope="module")
def facts(built: SnapshotSet, home: Home) -> pd.DataFrame:
    """Everyone's features of the present snapshot, by customer id; None where missing."""
    frames = [built.frame(group, built.current).set_index("customer_key") for group in GROUPS]
    joined = pd.concat([frame.drop(columns=["as_of", "created_at"]) for frame in frames], axis=1)
    table = Identity(home).table()
    names = dict(zip(table["customer_key"].to_pylist(), table["customer_id"].to_pylist(), strict=True))
    joined.index = joined.index.map(names)
    return joined.astype(object).where(joined.notna(), None)


def ask(client: Client | httpx.Client, customer_ids: list[str], **more: Any) -> list[dict[str, Any]]:
    response = client.post(ASK, json={"customer_ids": customer_ids} | more)
    assert response.status_code == 200, response.text
    actual: list[dict[str, Any]] = response.json()["customers"]
    assert [entry["customer_id"] for entry in actual] == customer_ids
    return actual


# Scores


def test_one_to_a_thousand_customers_are_answered_in_order_also_twice(client: Client, ids: list[str]) -> None:
    rng = np.random.default_rng(0)
    by_id = {entry["customer_id"]: entry for entry in ask(client, ids)}
    for count in (1, 2, 16, 17, 1000):
        chosen = [ids[i] for i in rng.integers(0, len(ids), count)]
        for entry in ask(client, chosen):
            assert entry | {"prediction_id": None} == by_id[entry["customer_id"]] | {"prediction_id": None}
    assert all(entry["known"] and entry["reason"] is None for entry in by_id.values())
    assert {entry["features_as_of"] for entry in by_id.values()} == {"2024-07-01T09:30:00Z"}


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_exactly_those_of_the_champion_on_the_snapshot(
    name: str, client: Client, home: Home, ids: list[str], facts: pd.DataFrame
) -> None:
    champion = Registry(home).champion(name)
    values = {feature: facts.loc[ids, feature].tolist() for feature in champion.features}
    scores, refusals = champion.score(values), champion.refusals(values)
    percentiles = champion.percentiles(scores)
    answers = [entry["scores"][name] for entry in ask(client, ids)]
    assert {answer["version"] for answer in answers} == {champion.version}
    assert [answer["reason"] for answer in answers] == refusals
    scored = [i for i, reason in enumerate(refusals) if reason is None]
    assert len(scored) > 100
    assert [answers[i]["score"] for i in scored] == scores[scored].tolist()
    assert [answers[i]["percentile"] for i in scored] == [round(p, 1) for p in percentiles[scored].tolist()]
    for i in set(range(len(ids))) - set(scored):
        assert answers[i]["score"] is None
        assert answers[i]["percentile"] is None


def test_whom_a_question_does_not_apply_to_has_a_reason_and_no_score(
    client: Client, ids: list[str], facts: pd.DataFrame
) -> None:
    lapsed = next(
        i for i in ids if facts.loc[i, "recency_days"] is not None and facts.loc[i, "recency_days"] > 180
    )
    never = next(i for i in ids if facts.loc[i, "orders_total"] in (0, None))
    (first, second) = ask(client, [lapsed, never])
    assert first["scores"]["churn"]["score"] is None
    assert "no order in the last 180 days" in first["scores"]["churn"]["reason"]
    assert first["scores"]["clv"]["score"] >= 0
    assert first["known"]
    assert second["known"]
    for name in MODELS:
        assert second["scores"][name]["score"] is None
        assert second["scores"][name]["reason"]
    assert second["scores"]["clv"]["reason"] == "has not ordered yet"


def test_unknown_customers_have_a_reason_and_the_others_are_answered_all_the_same(
    client: Client, ids: list[str]
) -> None:
    strange = [
        "nobody",
        "'; DROP TABLE customers; --",
        "Zoë \N{SNOWMAN}",
        "a\x00b",
        "null",
        ids[0].lower(),
    ]
    result = ask(client, [strange[0], ids[0], *strange[1:], ids[1]])
    assert [entry["known"] for entry in result] == [False, True, *[False] * 5, True]
    for entry in result:
        if not entry["known"]:
            assert entry["reason"].startswith("unknown customer")
            assert entry["features_as_of"] is None
            assert {answer["score"] for answer in entry["scores"].values()} == {None}
            assert {answer["reason"] for answer in entry["scores"].values()} == {entry["reason"]}
        else:
            assert entry["reason"] is None
    assert ask(client, ["nobody"])[0]["known"] is False


def test_blanks_around_an_id_do_not_count(client: Client, ids: list[str]) -> None:
    plain, padded = ask(client, [ids[0], f" {ids[0]}\t"])
    assert padded["known"]
    assert padded["scores"] == plain["scores"]


def test_only_the_models_asked_for_answer(client: Client, ids: list[str]) -> None:
    assert set(ask(client, ids[:1])[0]["scores"]) == set(MODELS)
    assert set(ask(client, ids[:1], models=None)[0]["scores"]) == set(MODELS)
    (entry,) = ask(client, ids[:1], models=["clv", "churn", "clv"])
    assert list(entry["scores"]) == ["clv", "churn"]
    assert set(ask(client, ["nobody"], models=["clv"])[0]["scores"]) == {"clv"}


# What does not fit is refused as a problem document

SECRET = "C-secret-customer"
BODY = json.dumps({"customer_ids": [SECRET]})
JSON = {"content-type": "application/json"}


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    actual: dict[str, Any] = response.json()
    assert set(actual) == {"type", "title", "status", "detail", "request_id"}
    assert actual["request_id"] == response.headers["x-request-id"]
    assert actual["status"] == status
    assert actual["title"]
    assert actual["detail"]
    assert SECRET not in response.text
    assert "Traceback" not in response.text
    return actual


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"customer_ids": []}', 422, "customer_ids: .* at least 1"),
        (json.dumps({"customer_ids": [SECRET] * 1001}), 422, "customer_ids: .* at most 1000"),
        (
            json.dumps({"customer_ids": [SECRET], "models": ["chrun"]}),
            422,
            "there are churn, clv, propensity",
        ),
        (json.dumps({"customer_ids": [SECRET], "models": []}), 422, "models: .* at least 1"),
        (json.dumps({"customer_ids": [SECRET], "models": ["clv"] * 21}), 422, "models: .* at most 20"),
        (json.dumps({"customer_ids": [SECRET], "models": SECRET}), 422, "models: .* list"),
        (json.dumps({"customer_ids": SECRET}), 422, "customer_ids: .* list"),
        (json.dumps({"customer_ids": {SECRET: 1}}), 422, "customer_ids: .* list"),
        (json.dumps({"customer_ids": [SECRET, 7]}), 422, r"customer_ids\.1: .* string"),
        (json.dumps({"customer_ids": [SECRET, None, [SECRET], {}, True, 1.5, 0]}), 422, "and 1 more"),
        (json.dumps({"customer_ids": [SECRET, ""]}), 422, r"customer_ids\.1: .* at least 1"),
        (json.dumps({"customer_ids": [SECRET * 20]}), 422, r"customer_ids\.0: .* at most 200"),
        (json.dumps({"customer_ids": [SECRET, "\ud800"]}), 422, r"customer_ids\.1: "),
        ('{"customer_ids": [NaN]}', 422, r"customer_ids\.0: .* string"),
        ('{"customer_ids": [Infinity, -Infinity]}', 422, r"customer_ids\.1: .* string"),
        (json.dumps({"customer_ids": [SECRET], "explain_all": True}), 422, "not permitted"),
        (json.dumps({"customer": SECRET}), 422, "customer_ids: .* required"),
        (json.dumps([SECRET]), 422, "body: "),
        (json.dumps(SECRET), 422, "body: "),
        ("null", 422, "body: "),
        ("", 422, "body: .* required"),
        (f'{{"customer_ids": ["{SECRET}"', 400, "not JSON"),
        (f'{{"customer_ids": ["{SECRET}"]}} trailing', 400, "not JSON"),
        (f"customer_ids={SECRET}", 400, "not JSON"),
        (b"\xff\xfe" + BODY.encode(), 400, "."),
        (b'{"customer_ids": ["\xff' + SECRET.encode() + b'"]}', 400, "."),
        ("[" * 100_000, 400, "."),
        ('{"customer_ids": ' + "[" * 50_000 + "]" * 50_000 + "}", 400, "."),
    ],
    ids=lambda value: str(value)[:45] if isinstance(value, str | bytes) else None,
)
def test_a_body_that_does_not_fit_is_refused_in_words(
    body: str | bytes, status: int, words: str, client: Client
) -> None:
    response = client.post(ASK, content=body, headers=JSON)
    assert re.search(words, problem_of(response, status)["detail"])


def test_a_body_of_another_type_is_refused(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        problem_of(client.post(ASK, content=BODY, headers={"content-type": kind}), 422)


def test_a_field_that_is_not_there_is_refused_without_saying_it_back(client: Client) -> None:
    problem_of(client.post(ASK, json={"customer_ids": [SECRET], SECRET: 1}), 422)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ASK, 405), ("PUT", ASK, 405), ("DELETE", ASK, 405), ("POST", "/healthz", 405),
        ("POST", "/v1/models", 405), ("GET", "/", 404), ("GET", "/v1/", 404), ("POST", "/v1/nothing", 404),
        ("GET", f"/v1/customers/{SECRET}", 404), ("GET", "/../../etc/passwd", 404),
    ],
)  # fmt: skip
def test_what_is_not_served_is_a_problem_too(method: str, path: str, status: int, client: Client) -> None:
    response = client.request(method, path)
    problem_of(response, status)
    if status == 405:
        assert response.headers["allow"]


def test_an_error_nobody_expected_is_a_problem_without_its_text(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(Scorer, "score", broken)
    assert "unexpected" in problem_of(client.post(ASK, content=BODY, headers=JSON), 500)["detail"]


# The other routes


def test_models_are_listed_with_what_their_scores_mean(client: Client, home: Home) -> None:
    states = client.get("/v1/models").json()
    assert [state["name"] for state in states] == list(MODELS)
    for state in states:
        champion = Registry(home).champion(state["name"])
        assert state["version"] == champion.version
        assert state["question"] == MODELS[state["name"]].question
        assert state["meaning"] == champion.manifest["meaning"]
        assert f"{state['horizon_days']} days" in state["meaning"]
        assert state["features"] == list(champion.features)
        assert state["trained_as_of"] == "2024-07-01T09:30:00Z"
        assert state["unit"] == ("EUR" if state["name"] == "clv" else "probability")
        assert state["reason"] is None


def test_it_says_that_it_lives_and_is_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True, "reasons": [], "warnings": [], "models": dict.fromkeys(MODELS, "version 1"),
    }  # fmt: skip


def test_metrics_count_answers_by_outcome_and_name_no_customer(client: Client, ids: list[str]) -> None:
    def counted() -> dict[str, float]:
        text = client.get("/metrics").text
        assert not set(re.findall(r"[A-Za-z0-9_-]+", text)) & {*ids, SECRET}
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    before = counted()
    entries = ask(client, [*ids[:40], "nobody"])
    client.post(ASK, content=BODY, headers=JSON)
    client.get(f"/v1/nothing/{SECRET}")
    after = counted()
    for name in MODELS:
        answers = Counter(
            "unknown"
            if not entry["known"]
            else "refused"
            if entry["scores"][name]["score"] is None
            else "scored"
            for entry in entries
        )
        answers["unknown"] += 1
        for outcome, count in answers.items():
            metric = f'patron_answers_total{{model="{name}",outcome="{outcome}"}}'
            assert after[metric] - before.get(metric, 0) == count
    served = 'patron_request_seconds_count{route="/v1/scores",status="200"}'
    assert after[served] - before.get(served, 0) == 2
    assert 'patron_request_seconds_count{route="none",status="404"}' in after
    assert after["patron_log_lost_total"] == 0


def test_the_documentation_needs_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/docs", "/redoc"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        wanted = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)["']""", page.text)
        assert len(wanted) >= 2
        for address in wanted:
            assert re.match(r"/(?!/)", address), address
            assert client.get(address).status_code == 200
        assert not re.findall(r"https?://", page.text)


def test_the_description_of_the_api_holds_its_routes_and_their_problems(client: Client) -> None:
    described = client.get("/openapi.json").json()
    assert described["info"]["title"] == "Patron"
    assert {ASK, "/v1/models", "/healthz", "/readyz", "/metrics"} <= set(described["paths"])
    responses = described["paths"][ASK]["post"]["responses"]
    for status in ("400", "422", "503"):
        assert list(responses[status]["content"]) == ["application/problem+json"]


# Stores and models that are missing


def test_without_its_online_store_it_is_not_ready_and_says_so_until_it_is_back(
    client: Client, home: Home, ids: list[str]
) -> None:
    online = Store(home).online_file
    away = online.with_suffix(".away")
    shutil.move(online, away)
    try:
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["ready"] is False
        (reason,) = response.json()["reasons"]
        assert "online store" in reason
        assert "is missing; run `patron build`" in reason
        for entry in ask(client, ids[:3]):
            assert entry["degraded"] == reason
        assert re.search(
            r'patron_answers_total{model="churn",outcome="degraded"} [1-9]', client.get("/metrics").text
        )
        assert not set(ids[:3]) & set(re.findall(r"\w+", reason))
        assert client.get("/healthz").status_code == 200
        assert not online.exists()  # nothing makes an empty one in its place
    finally:
        shutil.move(away, online)
    assert client.get("/readyz").status_code == 200
    assert ask(client, ids[:3])[0]["known"]


@pytest.mark.parametrize("which", ["online store", "database"])
def test_over_a_damaged_store_it_is_not_ready_and_scores_are_degraded(
    which: str, trained_copy: Home, ids: list[str]
) -> None:
    with ScoreLog(trained_copy) as log, open_client(trained_copy, log) as client:
        path = Store(trained_copy).online_file if which == "online store" else trained_copy.database_file
        path.unlink()
        path.write_bytes(b"not a database " * 1000)
        response = client.get("/readyz")
        assert response.status_code == 503
        assert which in response.json()["reasons"][0]
        for count in (1, 20):
            assert all(which in entry["degraded"] for entry in ask(client, ids[:count]))
        path.unlink()
        assert client.get("/readyz").status_code == 503


def test_where_nothing_was_trained_each_model_has_a_reason(
    built_shop: Home, ids: list[str], copy_home: Callable[[Home], Home]
) -> None:
    home = copy_home(built_shop)
    with ScoreLog(home) as log, open_client(home, log) as client:
        why = {
            name: f"{name} has no champion: it was never trained; run `patron train {name}`"
            for name in MODELS
        }
        response = client.get("/readyz")
        assert response.status_code == 503
        reasons = ["no model has a champion"]
        assert response.json() == {"ready": False, "reasons": reasons, "warnings": [], "models": why}
        known, unknown = ask(client, [ids[0], "nobody"])
        assert (known["known"], unknown["known"]) == (True, False)
        for name in MODELS:
            assert known["scores"][name] == {
                "score": None, "low": None, "high": None, "probability_of_order": None,
                "amount_if_order": None, "percentile": None, "version": None, "reason": why[name],
            }  # fmt: skip
        assert {s["name"]: s["reason"] for s in client.get("/v1/models").json()} == why


def test_one_refused_model_does_not_stop_the_others(trained_copy: Home, ids: list[str]) -> None:
    run_id = Registry(trained_copy).versions("churn")[0].run_id
    (trees,) = trained_copy.mlflow.rglob(f"{run_id}/artifacts/bundle/trees.lgb")
    trees.write_bytes(trees.read_bytes() + b" ")
    with ScoreLog(trained_copy) as log, open_client(trained_copy, log) as client:
        response = client.get("/readyz")
        assert response.status_code == 200
        assert response.json()["models"]["clv"] == "version 1"
        assert "trees.lgb is missing or not as it was published" in response.json()["models"]["churn"]
        entries = ask(client, ids)
        assert {entry["scores"]["churn"]["score"] for entry in entries} == {None}
        assert all("trees.lgb" in entry["scores"]["churn"]["reason"] for entry in entries)
        assert sum(entry["scores"]["clv"]["score"] is not None for entry in entries) > 100


# The log


def read_log(home: Home) -> logs.Logged:
    now = home.shop().now()
    return logs.read(home, now - timedelta(days=1), now + timedelta(days=1), lake.connect())


def test_the_log_holds_what_was_answered_and_by_which_features(
    trained_copy: Home, ids: list[str], facts: pd.DataFrame
) -> None:
    request_value = ids[:30]
    with ScoreLog(trained_copy) as log, open_client(trained_copy, log) as client:
        entries = ask(client, [*request_value, "nobody"])
        ask(client, [request_value[0], request_value[0]])  # answered twice, looked up and logged once
    assert not log._thread.is_alive()
    result = read_log(trained_copy)
    assert (result.answers, result.lost) == (31, 0)
    keys = Identity(trained_copy).keys(request_value)
    logged = result.vectors.to_pandas().set_index("customer_key")
    assert len(logged) == 30
    for entry in entries[:-1]:
        row = logged.loc[keys[entry["customer_id"]]]
        for name, answer in entry["scores"].items():
            assert row[f"{name}.version"] == answer["version"] == "1"
            assert answer["score"] == (None if pd.isna(row[f"{name}.score"]) else row[f"{name}.score"])
        for feature in Registry(trained_copy).champion("clv").features:
            value = None if pd.isna(row[feature]) else row[feature]
            assert value == facts.loc[entry["customer_id"], feature]
    with Database(trained_copy).reading() as connection:
        rows = repr(connection.execute(sa.select(predictions.scores)).all())
    assert "nobody" not in rows
    assert request_value[0] not in rows  # customers are named by key only


# The real process


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawn(home: Home, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "patron", "serve", "--port", str(port)],
        cwd=ROOT, env=os.environ | {"PATRON_HOME": str(home.path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def process(home: Home) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running service and its address; what is left of it is killed at the end."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with spawn(home, port) as service:
        try:
            for _ in range(1200):
                assert service.poll() is None, service.communicate()
                try:
                    if httpx.get(f"{address}/readyz", timeout=10).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                raise AssertionError("the service was not ready within two minutes")
            yield service, address
        finally:
            if service.poll() is None:
                service.kill()
            service.communicate()


def test_terminated_it_answers_what_it_took_on_and_logs_every_answer(
    trained_copy: Home, ids: list[str]
) -> None:
    with process(trained_copy) as (service, address), httpx.Client(base_url=address, timeout=60) as client:

        def request(i: int) -> int:
            chosen = [ids[(7 * i + n) % len(ids)] for n in range(1 + i % 20)]
            return len(ask(client, chosen))

        with ThreadPoolExecutor(6) as pool:
            answered = sum(pool.map(request, range(300)))
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=60)
    assert service.returncode in (0, -signal.SIGTERM)
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == [
        f"serving on {address}, console at /console, docs at /docs"
    ]
    assert answered == sum(1 + i % 20 for i in range(300))
    result = read_log(trained_copy)
    assert (result.answers, result.lost) == (answered, 0)
    assert list(trained_copy.logs.glob("*.accepted")) == []


def test_killed_it_loses_a_seconds_answers_at_most_and_their_number_is_known(
    trained_copy: Home, ids: list[str]
) -> None:
    answers: list[tuple[float, int]] = []
    with process(trained_copy) as (service, address):
        stop = threading.Event()

        def requests(first: int) -> None:
            with httpx.Client(base_url=address, timeout=60) as client:
                for i in range(first, len(ids)):
                    try:
                        entries = ask(client, ids[i : i + 5])
                    except httpx.TransportError:
                        assert stop.is_set()
                        return
                    answers.append((time.monotonic(), len(entries)))
                    time.sleep(0.005)

        with ThreadPoolExecutor(3) as pool:
            running = [pool.submit(requests, first) for first in range(3)]
            while len(answers) < 300:
                assert not any(done.done() and done.exception() for done in running)
                time.sleep(0.05)
            stop.set()
            killed = time.monotonic()
            service.kill()
            for done in running:
                done.result()
        assert service.wait() == -signal.SIGKILL
    answered = sum(count for _, count in answers)
    with ScoreLog(trained_copy) as log:
        lost = log.lost_before
    written = read_log(trained_copy).answers
    assert written >= sum(count for at, count in answers if at < killed - 1)
    # Accepted were the rows of all answers received, and of three more that were on their way.
    assert answered <= written + lost <= answered + 3 * 5
    assert read_log(trained_copy).lost == lost


def test_a_port_in_use_is_refused_in_a_line(trained_shop: Home) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with spawn(trained_shop, port) as service:
            out, err = service.communicate(timeout=120)
    assert service.returncode == 1
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"patron: cannot listen on 127.0.0.1:{port}")
    assert "PATRON_PORT" in line
