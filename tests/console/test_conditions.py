"""Every page in a shop without events or with one customer, without a store or a model, and while jobs run.

``MESSAGES`` has a row per page: what it says under each condition. A new page must be added.
"""

from __future__ import annotations

import html
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from benchmarks.harness.faulty_proxy import Fault, FaultyProxy
from benchmarks.harness.postgres import PostgresServer
from benchmarks.harness.servers import HOST, free_port
from console.navigation import PAGES
from console.words.messages import LANGUAGES, catalogue
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from decisions.catalogue import saved_audiences
from events import lake
from events.identity import Identity
from events.lake import shops, versions
from events.warehouse import SOURCE
from features import consent_events
from records.decisions import DecisionLog
from records.job import SERVICE, Job
from records.jobs import JobStore
from records.plans.store import PlanJob, PlanStore
from records.runs import DecisionRun, RunStore
from records.score_jobs import ScoreJob, ScoreJobStore

SENTENCES = Path(__file__).parents[2] / "console" / "words" / "sentences"
PLAN_ID = "0" * 32
PATHS = {
    "customer": "/customers/1",
    "audiences": "/audiences?rule=orders_total%20%3E%3D%201",
    "audience": "/audiences/active",
    "action": "/actions/edit",
    "plan": "/plan?budget=5",
    "stored_plan": f"/plans/{PLAN_ID}",
    "model_versions": "/models/churn",
    "feature": "/features/spend_365d",
}
"""The addresses of pages with parameters; others have that of the menu."""
DATABASE = (
    "the database {code_name} cannot be used: {raw_why}; see that the server runs and PATRON_DATABASE is"
    " right"
)
ONLINE = "{text_store} cannot be read ({raw_why}); see that Redis runs there, then run `patron build`"
WAREHOUSE = (
    "the database {code_name} cannot be used: {raw_why}; see that the server runs and {code_setting} is right"
)
MLFLOW = "MLflow at {code_place} cannot be reached; see that it runs and PATRON_MLFLOW_URI is right"
NOT_BUILT = "no features were built in {code_path}; run `patron build`"
NO_SEGMENTS = "there are no segments in {code_path}; run `patron build`"
NO_TOTALS = "{models} has no champion; run `patron train {model_first}`, then run `patron score --out FILE`"
UNTRAINED = "{model} has no champion: it was never trained; run `patron train {model}`"


@dataclass(frozen=True)
class Missing:
    """A message of a page that has nothing else to show, with its status."""

    message: str
    status: int = 503


SCORES = {"scores": "running_job.scores"}
RUNS = {"decisions": "running_job.decisions", "release": "running_job.release"}
PLAN = {"plan": "running_job.plan"}
MESSAGES: Mapping[str, Mapping[str, str | Missing]] = {
    "overview": {"empty": NO_SEGMENTS, "one": "overview.no_month", "mlflow": MLFLOW, **SCORES},
    "customers": {"empty": NO_SEGMENTS, "one": UNTRAINED, "mlflow": MLFLOW, **SCORES},
    "customer": {
        "empty": Missing("customer.unknown", 404), "one": UNTRAINED, "online": Missing(ONLINE),
        "mlflow": MLFLOW, "warehouse": WAREHOUSE,
    },
    "segments": {
        "empty": NO_SEGMENTS,
        "one": NO_TOTALS,
        **SCORES,
    },
    "audiences": {"empty": "audiences.not_built", "one": "audiences.no_clv", **SCORES},
    "audience": {"empty": NOT_BUILT, **SCORES},
    "cohorts": {"empty": "there are no {name} in {code_path}; run `patron build`"},
    "actions": {"empty": "actions.none", "one": "actions.none", **RUNS},
    "action": {"empty": "console.read_only", "one": "console.read_only"},
    "plan": {"empty": NOT_BUILT, "one": UNTRAINED, "online": ONLINE, "mlflow": MLFLOW, **PLAN, **RUNS},
    "stored_plan": {
        "empty": Missing("stored_plan.unknown", 404), "one": Missing("stored_plan.unknown", 404),
        "online": "stored_plan.interrupted", "mlflow": "stored_plan.interrupted",
        "plan": "stored_plan.running",
    },
    "results": {"empty": "results.none", "one": "results.none", **RUNS},
    "models": {"empty": "models.never_trained", "one": "models.never_trained", "mlflow": Missing(MLFLOW)},
    "model_versions": {
        "empty": "{model} was never trained; run `patron train {model}`",
        "one": "{model} was never trained; run `patron train {model}`",
        "mlflow": Missing(MLFLOW),
    },
    "monitoring": {"empty": UNTRAINED, "one": UNTRAINED, "mlflow": MLFLOW},
    "data": {
        "empty": "data.not_built", "online": ONLINE, "warehouse": "source.warehouse",
        **SCORES, **RUNS, **PLAN,
    },
    "features": {"empty": UNTRAINED, "one": UNTRAINED, "mlflow": MLFLOW},
    "feature": {"empty": UNTRAINED, "one": UNTRAINED, "mlflow": MLFLOW},
    "access": {"empty": "access.no_accounts", "one": "access.no_accounts"},
}  # fmt: skip
"""By page and condition a message, or the English sentence of another layer; without one, it is as usual."""
EVERY_PAGE = {"database": Missing(DATABASE)}


def test_every_page_is_in_the_table() -> None:
    assert {page.name for page in PAGES} == set(MESSAGES)


@pytest.fixture(scope="module")
def complete(console_home: Home, copy_into: Callable[..., Home], tmp_path_factory: Any) -> Home:
    """A copy of the console's home with an audience and a plan that was interrupted."""
    home = copy_into(console_home, tmp_path_factory.mktemp("complete") / "home")
    saved_audiences.put(home, "active", {"rule": "recency_days <= 365"}, None)
    plan = PlanJob(
        id=PLAN_ID, at=home.shop().now(), segment=None, origin="", caller=None, channels=None, language="en",
        rules="", money=None,
    )  # fmt: skip
    PlanStore(home).create(plan, [np.arange(1, 4)])
    return home


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    shops.begin_live(home, "UTC", "EUR")
    saved_audiences.put(home, "active", {"rule": "recency_days <= 365"}, None)
    return home


@pytest.fixture
def one(import_sales: Callable[..., Home], build_features: Callable[..., Any], tmp_path: Path) -> Home:
    home = import_sales(tmp_path, [("ann", date(2024, 3, 1), 10.0)])
    build_features(home)
    saved_audiences.put(home, "active", {"rule": "recency_days <= 365"}, None)
    return home


@pytest.mark.parametrize("condition", ["empty", "one"])
def test_pages_of_a_shop_without_history(
    condition: str, open_local: Callable[[Home], Any], request: pytest.FixtureRequest
) -> None:
    check(open_local(request.getfixturevalue(condition)), condition)


def test_pages_without_the_database(
    complete: Home, postgres: PostgresServer, postgres_address: str, open_local: Callable[[Home], Any]
) -> None:
    address = urlsplit(postgres_address)
    proxy = FaultyProxy(address.port or 0)
    try:
        home = Home(complete.path, postgres_address.replace(f":{address.port}/", f":{proxy.port}/"))
        Database(home).attach()
        Identity(home).assign(Identity(complete).table()["customer_id"].to_pylist())
        local = open_local(home)
        proxy.set(Fault.STOPPED)
        check(local, "database")
    finally:
        proxy.close()


@pytest.mark.filterwarnings("ignore:fetch_record_batch")  # of DuckDB, which stands in for the warehouse
def test_pages_without_the_warehouse(
    complete: Home, copy_home: Callable[[Home], Home], open_local: Callable[[Home], Any]
) -> None:
    home = replace(copy_home(complete), warehouse=f"postgresql://{HOST}:{free_port()}/shop")
    consent_events.write(home, lake.connect())  # as the last build of a warehouse does
    home.write_shop(replace(home.shop(), source=SOURCE, clock=Clock()))
    versions.amend(home, {"source": SOURCE})
    check(open_local(home), "warehouse")


@pytest.mark.parametrize(
    ("condition", "variable", "scheme"),
    [("online", "PATRON_ONLINE_STORE", "redis"), ("mlflow", "PATRON_MLFLOW_URI", "http")],
)
def test_pages_without_a_store(
    condition: str, variable: str, scheme: str, complete: Home, open_local: Callable[[Home], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, f"{scheme}://{HOST}:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    check(open_local(complete), condition)


def test_pages_while_jobs_run(complete: Home, open_local: Callable[[Home], Any]) -> None:
    local, at = open_local(complete), complete.shop().now()
    log = DecisionLog(complete)
    common = {"at": at, "segment": None, "origin": SERVICE, "caller": None}
    decided = common | {"channels": None, "language": "en", "rules": ""}
    plans, runs = PlanStore(complete), RunStore(log)
    stored = plans.find(PLAN_ID)
    assert stored is not None
    jobs: list[tuple[str, JobStore[Any], Job]] = [
        ("scores", ScoreJobStore(complete), ScoreJob(**common, models={}, absent={})),
        ("decisions", runs, DecisionRun(**decided)),
        ("release", runs, DecisionRun(**decided, plan=PLAN_ID)),
    ]
    for condition, store, job in jobs:
        with store.execute(store.create(job, [np.arange(1, 4)])):
            check(local, condition)
        store.delete(job.id)
    with plans.execute(stored):
        check(local, "plan")
    log.close()


def check(local: Any, condition: str) -> None:
    """Each page has its message under the condition; while a job runs, only pages that name it are opened."""
    is_job = any(condition in kinds for kinds in (SCORES, RUNS, PLAN))
    for page in PAGES:
        message = (EVERY_PAGE | MESSAGES[page.name]).get(condition)
        if is_job and message is None:
            continue
        missing = message if isinstance(message, Missing) else Missing(message or "", 200)
        for language in LANGUAGES:
            path = PATHS.get(page.name, page.path)
            response = settled(local, f"/console{path}", language)
            where = (condition, path, language)
            assert response.status_code == missing.status, where
            assert "Traceback" not in response.text, where
            content = text_of(response.text)
            assert re.search(pattern(missing.message, language), content), (*where, content)


def settled(local: Any, path: str, language: str) -> Any:
    """The response once a preview of a plan is computed."""
    deadline = time.monotonic() + 60
    while True:
        response = local.get(path, headers={"accept-language": language})
        if "every 1s" not in response.text:
            return response
        assert time.monotonic() < deadline, response.text
        time.sleep(0.05)


def text_of(page: str) -> str:
    """The text of a page's content."""
    content = re.sub(r"<[^>]+>", "", page.split('id="content"', 1)[1])
    return " ".join(html.unescape(content).split())


def pattern(message: str, language: str) -> str:
    """What a message, or a sentence of another layer, looks like with its values."""
    texts: Any = catalogue()[message] if message in catalogue() else sentences().get(message)
    text = "" if not message else texts[language]
    forms = text.values() if isinstance(text, Mapping) else [text]
    return "|".join(".+?".join(map(re.escape, re.split(r"\{\w+\}", form.replace("`", "")))) for form in forms)


def sentences() -> dict[str, dict[str, str]]:
    """The sentences of other layers by language."""
    pairs: dict[str, Any] = {}
    for path in SENTENCES.glob("*.toml"):
        pairs |= tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        english: {"en": english, "zh": chinese} if isinstance(chinese, str) else {"en": english} | chinese
        for english, chinese in pairs.items()
    }
