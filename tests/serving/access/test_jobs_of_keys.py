"""Runs and jobs by keys of one scope: what they read, what they may stop, and what they start twice."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from core.home import Home
from decisions.catalogue.actions import EXAMPLE
from records import ScoreLog
from records.job import COMMAND, SERVICE, Interrupted
from records.score_jobs import ScoreJobStore
from serving.access.keys import Keys
from serving.access.scopes import Scope
from serving.app import create_app
from serving.score_jobs.scoring import create_job
from serving.scores.scorer import open_scorer

JOBS, RUNS = "/v1/score-jobs", "/v1/recommendation-runs"
SCORES, FACTS = ("churn", "propensity", "clv"), ("value_tier", "rfm_segment", "lifecycle_stage")
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("owners") / "home")
    shutil.copy(EXAMPLE, home.actions)
    return home


@pytest.fixture(scope="module")
def secrets(home: Home) -> dict[str, str]:
    """A key per scope, named after it, and another one of scores."""
    keys = Keys(home)
    scopes = {scope.value: [scope] for scope in Scope} | {
        "other": [Scope.SCORES],
        "crm": [Scope.DECISIONS, Scope.SCORES],
        "marketing": [Scope.DECISIONS, Scope.CUSTOMERS],
    }
    return {name: keys.create(name, own)[1] for name, own in scopes.items()}


@pytest.fixture(scope="module")
def ask(home: Home, secrets: dict[str, str]) -> Iterator[Ask]:
    """Requests with a key: (key's name, method, path, ...)."""
    with ScoreLog(home) as log:
        app = create_app(open_scorer(home, log), log, keys=Keys(home, recheck_seconds=0), keys_needed=True)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://patron")
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        ):

            def request(name: str, method: str, path: str, **given: Any) -> httpx.Response:
                headers = given.pop("headers", {}) | {"authorization": f"Bearer {secrets[name]}"}
                return portal.call(partial(client.request, method, path, headers=headers, **given))

            yield request


def ended(ask: Ask, path: str) -> dict[str, Any]:
    for _ in range(600):
        body: dict[str, Any] = ask("all", "GET", path).json()
        if body["status"] != "running":
            return body
        time.sleep(0.05)
    raise AssertionError("it did not end")


@pytest.fixture(scope="module")
def run(ask: Ask) -> str:
    """The path of a run for a segment, done."""
    response = ask("decisions", "POST", RUNS, json={"segment": "value_tier:A"})
    assert response.status_code == 202, response.text
    assert ended(ask, response.headers["location"])["status"] == "done"
    return response.headers["location"]


def test_rows_of_a_run_have_what_the_scopes_of_the_key_include(ask: Ask, run: str) -> None:
    visible = {
        "decisions": (), "crm": SCORES, "marketing": FACTS, "all": (*SCORES, *FACTS),
    }  # fmt: skip
    complete = ask("all", "GET", run).json()["rows"]
    assert complete[0]["value_tier"] == "A"
    assert any(row["churn"] is not None for row in complete)
    for name, fields in visible.items():
        hidden = {*SCORES, *FACTS} - {*fields}
        expected = [row | dict.fromkeys(hidden) for row in complete]
        assert ask(name, "GET", run).json()["rows"] == expected
        table = ask(name, "GET", run, params={"format": "csv"})
        lines = [*csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff")))]
        assert len(lines) == len(complete)
        assert all(not line.get(field) for line in lines for field in hidden)


def test_a_decision_has_the_scores_only_for_keys_of_scores(ask: Ask, run: str) -> None:
    customer = ask("all", "GET", run).json()["rows"][0]["customer_id"]
    path = f"/v1/customers/{customer}/next-best-actions"
    assert ask("crm", "POST", path, json={}).json()["scores"]
    assert ask("decisions", "POST", path, json={}).json()["scores"] == {}


def test_scopes_do_not_open_the_jobs_and_runs_of_another_scope(ask: Ask, run: str) -> None:
    job = ask("scores", "POST", JOBS, json={"models": ["churn"]}).headers["location"]
    assert ended(ask, job)["status"] == "done"
    for path, scope in ((JOBS, "scores"), (job, "scores"), (f"{job}/file", "scores"), (run, "decisions")):
        for name in Scope:
            expected = 200 if name in (scope, "all") else 403
            assert ask(name, "GET", path).status_code == expected, (name, path)


def test_a_key_stops_its_own_jobs_and_one_of_all_every_job(ask: Ask, home: Home) -> None:
    store = ScoreJobStore(home)
    champions = open_scorer(home, None).champions

    def interrupted(origin: str, caller: str | None) -> str:
        job = create_job(store, champions, ["churn"], segment=None, origin=origin, caller=caller)
        with store.execute(job):
            raise Interrupted
        return f"{JOBS}/{job.id}/stop"

    own, others, commands = (
        interrupted(SERVICE, "scores"), interrupted(SERVICE, "other"), interrupted(COMMAND, None),
    )  # fmt: skip
    assert ask("scores", "POST", own).json()["status"] == "stopped"
    for path in (others, commands):
        refused = ask("scores", "POST", path)
        assert refused.status_code == 403
        assert "one of the scope all stops it" in refused.json()["detail"]
        assert ask("all", "GET", path.removesuffix("/stop")).json()["status"] == "interrupted"
        assert ask("all", "POST", path).json()["status"] == "stopped"


@pytest.mark.parametrize(
    ("path", "name", "body", "another"),
    [
        (JOBS, "scores", {"models": ["churn"]}, {"models": ["clv"]}),
        (RUNS, "decisions", {"segment": "value_tier:A"}, {"segment": "value_tier:B"}),
    ],
)
def test_a_request_that_is_sent_again_returns_its_job(
    path: str, name: str, body: dict[str, Any], another: dict[str, Any], ask: Ask
) -> None:
    key = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
    first = ask(name, "POST", path, json=body, headers=key)
    again = ask(name, "POST", path, json=body, headers=key)  # without 409, also while the first is running
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert first.headers["location"] == again.headers["location"]
    ended(ask, first.headers["location"])
    assert ask(name, "POST", path, json=body, headers=key).headers["location"] == first.headers["location"]
    refused = ask(name, "POST", path, json=another, headers=key)
    assert refused.status_code == 422
    assert "another request" in refused.json()["detail"]
    malformed = ask(name, "POST", path, json=body, headers={"Idempotency-Key": "a\tb"})
    assert malformed.status_code == 422
    assert "Idempotency-Key" in malformed.json()["detail"]
    new = ask(name, "POST", path, json=body)
    assert new.headers["location"] != first.headers["location"]
    ended(ask, new.headers["location"])
