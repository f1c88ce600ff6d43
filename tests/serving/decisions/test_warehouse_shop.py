"""A trained shop whose lake is a real PostgreSQL or ClickHouse: what it says and does stays the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from benchmarks.harness.postgres import PostgresServer
from benchmarks.warehouse.company import copy_events, write_queries
from core.home import Home
from core.shop import Clock
from decisions.catalogue.actions import EXAMPLE
from events import lake
from events.identity import Identity
from events.lake import shops, versions
from events.warehouse import SOURCE
from features.offline import build
from models.registry.registry import Registry
from tests.features.offline.warehouses import WAREHOUSES, warehouse_of

pytestmark = pytest.mark.slow
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def own(
    ranked_shop: Home, copy_into: Callable[[Home, Path], Home], tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """The shop with a lake of its own."""
    home = copy_into(ranked_shop, tmp_path_factory.mktemp("own") / "home")
    shutil.copy(EXAMPLE, home.actions)
    return home


@pytest.fixture(scope="module", params=WAREHOUSES)
def home(
    request: pytest.FixtureRequest,
    own: Home,
    postgres: PostgresServer,
    copy_into: Callable[[Home, Path], Home],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Home]:
    """The same shop, whose events are in a company's database instead."""
    with warehouse_of(request.param, postgres) as company:
        copy_events(own, company)
        made = copy_into(own, tmp_path_factory.mktemp("warehouse") / "home")
        made = replace(made, warehouse=company.address)
        made.write_shop(replace(made.shop(), source=SOURCE))
        versions.amend(made, {"source": SOURCE})
        write_queries(made)
        shops.update_from_warehouse(made, lake.backend_of(made))
        snapshots = [each.snapshots / lake.metadata(each).generation for each in (own, made)]
        (made.snapshots / snapshots[0].name).rename(snapshots[1])  # whose values are compared elsewhere
        build.build(made, monthly=False)
        yield made


@pytest.fixture(scope="module")
def customer(own: Home) -> str:
    return Identity(own).ids([1])[1]


def test_plans_and_who_may_be_contacted_are_those_of_an_own_lake(
    home: Home, own: Home, run_patron: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_WAREHOUSE", str(home.warehouse))
    results = []
    for each in (home, own):
        outputs = [run_patron(each, verb, "--json") for verb in ("actions", "plan")]
        assert [(code, error) for code, _, error in outputs] == [(0, ""), (0, "")]
        reach, plan = (json.loads(out) for _, out, _ in outputs)
        results.append((reach, plan["customers"]))  # what a plan explores is drawn by its own id
    assert results[0] == results[1]


def test_the_service_decides_and_shows_timelines(
    home: Home, own: Home, customer: str, answering: Callable[[Home], AbstractContextManager[Ask]]
) -> None:
    timelines, decided = [], []
    for each in (home, own):
        with answering(each) as ask:
            timelines.append(ask(f"/v1/customers/{customer}/timeline").json()["events"])
            decided.append(_decided(ask, customer))
    assert timelines[0] == timelines[1] != []
    for part in ("scores", "not_offered"):
        assert decided[0][part] == decided[1][part] != []


def test_a_timeline_without_its_warehouse_is_one_sentence(
    home: Home,
    customer: str,
    answering: Callable[[Home], AbstractContextManager[Ask]],
    copy_home: Callable[[Home], Home],
) -> None:
    gone = sa.make_url(str(home.warehouse)).set(port=1).render_as_string(hide_password=False)
    live = replace(copy_home(home), warehouse=gone)
    live.write_shop(replace(home.shop(), clock=Clock()))
    with answering(live) as ask:
        response, decided = ask(f"/v1/customers/{customer}/timeline"), _decided(ask, customer)
    assert response.status_code == 503
    assert "PATRON_WAREHOUSE is right" in response.json()["detail"]
    assert decided["chosen"]


@pytest.mark.parametrize("name", ["propensity", "products"])
def test_a_training_is_that_of_an_own_lake(
    name: str,
    home: Home,
    copy_home: Callable[[Home], Home],
    run_patron: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first version was trained on files, the second in the warehouse."""
    monkeypatch.setenv("PATRON_WAREHOUSE", str(home.warehouse))
    copy = copy_home(home)
    _, _, error = run_patron(copy, "train", name)
    assert error == ""
    first, second = sorted(Registry(copy).versions(name), key=lambda version: int(version.version))
    assert second.metrics == pytest.approx(first.metrics)


def _decided(ask: Ask, customer: str) -> dict[str, Any]:
    """A preview of what to do for a customer."""
    path = f"/v1/customers/{customer}/next-best-actions"
    response = ask(path, method="POST", json={"preview": True})
    assert response.status_code == 200, response.json()
    decision: dict[str, Any] = response.json()
    return decision
