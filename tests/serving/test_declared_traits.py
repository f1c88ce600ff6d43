"""Declared traits from files to answers: imports, drafts, snapshots, Feast, a model, and what reads it."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

import records
from core.declarations import own_features
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events import journal, lake
from events.files.imports import dry_run, import_file
from events.journal import Message
from events.segment.translate import Place, translate
from features import snapshot
from features.catalogue.store import Store
from features.groups import features_of
from features.live.recompute import LiveUpdater
from features.offline.build import build, catalogued
from features.offline.trait_draft import draft
from features.workspace import Workspace
from models.explain import lineage
from models.questions.churn import churn
from models.questions.propensity import propensity
from models.registry import promotion
from models.registry.registry import Registry
from models.spec import CustomerModel
from monitoring.run import monitor
from training.customers.backtest import prepare, with_declared_traits
from training.customers.horizon import with_horizon
from training.customers.pipeline import train

START, DAYS, CUSTOMERS = date(2024, 1, 1), 300, 360
NOW = datetime(2024, 10, 27, 12, tzinfo=UTC)
TRAITS = ["trait_points", "trait_vip", "trait_city"]
Ask = Callable[..., httpx.Response]

SHOP = '[shop]\ntime_zone = "UTC"\ncurrency = "EUR"\n'
ORDERS = SHOP + '[orders]\ncustomer = "who"\ntime = "day"\namount = "paid"\norder = "order"\n'
PEOPLE = (
    SHOP
    + """
[customers]
customer = "who"
time = "since"
traits = { points = "points", vip = "vip", city = "city", name = "name" }

[traits.points]
kind = "number"
meaning = "Points on the customer's card."
"""
)
OWN = """
[features.largest_line]
from = "order_lines"
select = "max(amount)"
meaning = "Largest amount of a line."
unit = "currency"
"""
ACTIONS = """
margin = 0.4
holdout_share = 0.0
exploration_share = 0.0

[[actions]]
name = "call"
channel = "phone"
cost = 0.01
who = [{ feature = "trait_vip", equals = true }, { feature = "trait_points", at_least = 10 }]
effect = { on = "propensity", times = 1.5 }
"""


def write(path: Path, *rows: list[Any]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def add(home: Home, folder: Path, name: str, mapping: str, *rows: list[Any]) -> dict[str, Any]:
    (folder / f"{name}.toml").write_text(mapping)
    file = write(folder / f"{name}.csv", *rows)
    return import_file(home, str(file), str(folder / f"{name}.toml"), live=True)


def people() -> Iterator[tuple[str, date, bool]]:
    """Each customer's id, first day, and whether the customer has points; two of a kind on each day."""
    for i in range(CUSTOMERS):
        yield f"c{i}", START + timedelta(days=i // 2 * DAYS // (CUSTOMERS // 2)), i % 2 == 0


def history() -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows of orders and customers: who has points orders again, and nothing but the points says so."""
    draw = random.Random(7)
    orders: list[list[Any]] = [["who", "day", "paid", "order"]]
    customers: list[list[Any]] = [["who", "since", "points", "vip", "city", "name"]]
    for customer, day, pointed in people():
        city = draw.choice(["Köln", "Wien", "Basel"])
        points = draw.randint(60, 99) if pointed else draw.randint(0, 30)
        vip = draw.choice(["Yes", "no"])
        customers.append([customer, day, points, vip, city, f"Name of {customer}"])
        orders.append([customer, day, 20, f"{customer}-0"])
        chance = 0.85 if pointed else 0.12
        for n in range(1, 12):
            day += timedelta(days=draw.randint(8, 26))
            if draw.random() > chance or day >= START + timedelta(days=DAYS):
                break
            orders.append([customer, day, 20, f"{customer}-{n}"])
    return orders, customers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A live shop of files, at a fixed time, whose model of propensity learned from three declared traits."""
    folder = tmp_path_factory.mktemp("traits")
    home = Home(folder / "home", wall=lambda: NOW)
    orders, customers = history()
    add(home, folder, "orders", ORDERS, *orders)
    add(home, folder, "people", PEOPLE, *customers)
    later = ["c0", "2024-10-20", "5", "", "", ""]  # c0's points were spent lately
    add(home, folder, "later", PEOPLE.replace('name = "name"', 'name = "name", gender = "vip"'),
        ["who", "since", "points", "vip", "city", "name"], later)  # fmt: skip
    with open(home.settings_file, "a", encoding="utf-8") as file:
        file.write(draft(home))
    home.actions.write_text(ACTIONS)
    (home.path / own_features.FILE).write_text(OWN)
    workspace = Workspace(home, build(home))
    version = train(workspace, propensity, Registry(home))
    if not version.champion:
        promotion.promote(Registry(home), "propensity", version.version, "for the test", force=True)
    return home


@pytest.fixture(scope="module")
def ask(home: Home, answering: Callable[..., Any]) -> Iterator[Ask]:
    with answering(home) as ask:
        yield ask


def score(ask: Ask, *customer_ids: str, **more: Any) -> list[dict[str, Any]]:
    response = ask("/v1/scores", method="POST", json={"customer_ids": customer_ids, **more})
    assert response.status_code == 200, response.text
    return [customer["scores"]["propensity"] for customer in response.json()["customers"]]


def test_a_mapping_and_a_draft_declare_traits(home: Home) -> None:
    declared = {each.feature: (each.trait, each.kind, each.meaning) for each in home.traits()}
    assert declared == {
        "trait_points": ("points", "number", "Points on the customer's card."),
        "trait_vip": ("vip", "flag", "The trait vip."),
        "trait_city": ("city", "text", "The trait city."),
    }
    assert '# [traits."name"]' in home.settings_file.read_text()


def test_the_list_of_features_says_what_they_are(home: Home) -> None:
    (listed,) = lineage.describe("trait_points", features_of(home))
    assert (listed.group, listed.type, listed.meaning) == (
        "traits",
        "float64",
        "Points on the customer's card.",
    )
    assert {"propensity", "churn", "clv"} <= set(listed.models)


def test_declared_traits_are_point_in_time_in_snapshots_and_in_feast(home: Home) -> None:
    days = ["2024-01-01T00:00", "2024-03-01T00:00", "2024-10-27T12:00"]
    population = pd.DataFrame({"customer_id": ["c0"] * 3, "as_of": days})
    values = snapshot(population, TRAITS, home)
    assert values["trait_points"].fillna(-1).tolist()[1:] == [values["trait_points"][1], 5.0]
    assert values["trait_points"][1] >= 60
    assert values[TRAITS].isna().iloc[0].all()
    store = Store(home)
    assert set(TRAITS) <= set(store.definitions())
    assert "traits" in store.fresh_for()
    entities = pd.DataFrame(
        {"customer_key": [1, 1], "as_of": pd.to_datetime(["2024-05-01T00:00", "2024-10-27T12:00"], utc=True)}
    )
    rows = store.historical(entities, TRAITS).sort_values("as_of")
    expected = snapshot(pd.DataFrame({"customer_id": ["c0"] * 2, "as_of": entities["as_of"]}), TRAITS, home)
    assert rows[TRAITS].values.tolist() == expected[TRAITS].values.tolist()


def test_a_feature_by_sql_is_a_feature_like_any_other(home: Home, ask: Ask) -> None:
    days = [f"{START}T00:00", "2024-10-27T12:00"]
    values = snapshot(pd.DataFrame({"customer_id": ["c0"] * 2, "as_of": days}), ["own_largest_line"], home)
    assert values["own_largest_line"].isna().tolist() == [True, False]
    assert values["own_largest_line"][1] == 20.0
    store = Store(home)
    assert "own_largest_line" in store.definitions()
    entities = pd.DataFrame({"customer_key": [1], "as_of": pd.to_datetime(["2024-10-27T12:00"], utc=True)})
    assert store.historical(entities, ["own_largest_line"])["own_largest_line"].tolist() == [20.0]
    assert "own_largest_line" in Registry(home).champion("propensity").features
    assert store.fresh_for()["own"] == timedelta(days=2)
    response = ask("/v1/scores", method="POST", json={"customer_ids": ["c0"], "explain": True})
    assert response.json()["customers"][0]["features"]["own_largest_line"]["value"] == 20.0


def test_a_model_learns_from_them_and_answers_with_them(home: Home, ask: Ask) -> None:
    model = Registry(home).champion("propensity")
    assert set(TRAITS) <= set(model.features)
    with_points, without = (f"c{CUSTOMERS - 12 + i}" for i in (0, 1))  # of one day, with few orders either
    high, low = score(ask, with_points, without)
    assert high["score"] > low["score"] + 0.2
    body = {"customer_ids": [with_points], "explain": True}
    response = ask("/v1/scores", method="POST", json=body)
    assert response.status_code == 200, response.text
    explained = response.json()["customers"][0]
    words = [reason["words"] for reason in explained["scores"]["propensity"]["reasons"]]
    assert any(text.startswith("Points on the customer's card (") for text in words), words
    assert explained["features"]["trait_points"]["value"] >= 60
    (imagined,) = score(ask, with_points, context={"trait_points": 3})
    assert imagined["score"] < high["score"] - 0.1


@pytest.mark.parametrize("model", [propensity, churn])
def test_every_training_and_report_prepares_the_same_recipe(home: Home, model: CustomerModel) -> None:
    workspace = Workspace(home, build(home))
    extended = with_declared_traits(home, model)
    assert with_declared_traits(home, extended) == extended
    with suppress(PatronError):  # nobody was away for long enough to learn churn from
        prepared = prepare(workspace, with_horizon(model, 30))
        for recipe in (prepared.model, prepared.recipe):
            names = [feature.name for feature in recipe.features]
            assert {name for name in names if name.startswith("trait_")} == set(TRAITS)
            assert len(set(names)) == len(names)


def test_segments_portraits_and_conditions_read_them(home: Home, ask: Ask) -> None:
    values = snapshot(
        pd.DataFrame({"customer_id": [c for c, *_ in people()], "as_of": [NOW] * CUSTOMERS}), TRAITS, home
    )
    vips = set(values[values["trait_vip"].fillna(False).astype(bool)]["customer_id"])
    listed: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = ask("/v1/customers", params={"segment": "trait_vip:true", "limit": 100, **cursor}).json()
        listed |= {customer["customer_id"] for customer in page["customers"]}
        if not page.get("next_cursor"):
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == vips
    cities = ask("/v1/customers", params={"segment": "trait_city:Köln"}).json()
    assert cities["customers"]
    facts = ask("/v1/customers/c0").json()["facts"]["traits"]
    meaning = "Points on the customer's card."
    assert facts["trait_points"] == {"value": 5, "unit": "number", "meaning": meaning}
    rich = values["trait_points"] >= 10
    vip = values["trait_vip"].fillna(False).astype(bool)
    inside = values[rich & vip]["customer_id"].iloc[0]
    outside = values[rich & ~vip]["customer_id"].iloc[0]
    for customer, offered in ((inside, True), (outside, False)):
        response = ask(f"/v1/customers/{customer}/next-best-actions", method="POST", json={})
        assert response.status_code == 200, response.text
        assert ("trait_vip" in response.text and "must be yes" in response.text) is not offered


def test_drift_of_a_declared_trait_is_found(
    home: Home, ask: Ask, until: Callable[[Callable[[], bool]], None]
) -> None:
    customers = [(customer, pointed) for customer, _, pointed in people() if customer not in ("c0", "c2")]
    few = [customer for customer, pointed in customers if not pointed][::4]
    scored = [*few, *(customer for customer, pointed in customers if pointed)]
    score(ask, *scored)
    span = NOW - timedelta(days=1), NOW
    until(lambda: len(records.read(home, *span, lake.connect()).vectors.to_pandas()) >= len(scored))
    ((watched,), _) = monitor(home, ["propensity"], 7, Registry(home))
    columns = {column.column: column for column in watched.report.columns}
    assert columns["trait_points"].drifted
    assert not columns["trait_city"].drifted


def test_live_values_follow_the_events(home: Home, ask: Ask) -> None:
    before = score(ask, "c2")[0]["score"]
    at = NOW - timedelta(minutes=1)
    traits = {"points": 1, "vip": None, "city": " Wien ", "createdAt": "2020-02-29T12:00:00Z"}
    body = {"type": "identify", "userId": "c2", "traits": traits}
    message = translate(body, at, Place("UTC", "EUR"))
    assert isinstance(message, Message)
    journal.append(Database(home), [message], compacted_seq=0)
    LiveUpdater(home).catch_up()
    portrait = ask("/v1/customers/c2").json()
    assert portrait["known_since"] == "2020-02-29"
    facts = portrait["facts"]["traits"]
    assert [facts[name]["value"] for name in TRAITS] == [1, None, "Wien"]
    assert score(ask, "c2")[0]["score"] != before
    as_of = pd.DataFrame({"customer_id": ["c2"] * 2, "as_of": [at, NOW]})
    values = snapshot(as_of, TRAITS, home)
    assert values["trait_points"].tolist()[0] >= 60
    assert values["trait_points"].tolist()[1] == 1
    assert values["trait_vip"].isna().tolist()[1]


def test_a_mapping_that_contradicts_the_home_changes_nothing(home: Home, tmp_path: Path) -> None:
    before = home.settings_file.read_bytes()
    rows = [["who", "since", "points", "vip", "city", "name"], ["c1", "2024-10-21", "7", "", "", ""]]
    file = write(tmp_path / "f.csv", *rows)
    for old, new, why in (
        ('kind = "number"', 'kind = "text"', "declares the trait \"points\" as trait_points"),
        ("[traits.points]", "[traits.Points]", "'Points', which no column is"),
        ('kind = "number"', 'kind = "colour"', "use one of number, text"),
        ("[traits.points]", '[traits.city]\nname = "points"\n[traits.points]', "features of one name"),
    ):  # fmt: skip
        (tmp_path / "f.toml").write_text(PEOPLE.replace(old, new))
        for run in (lambda: import_file(home, str(file), str(tmp_path / "f.toml"), live=True),
                    lambda: dry_run(home, str(file), str(tmp_path / "f.toml"))):  # fmt: skip
            with pytest.raises(PatronError, match=why):
                run()
    assert home.settings_file.read_bytes() == before


def test_a_model_does_not_answer_without_a_trait_that_it_learned_from(
    home: Home, tmp_path: Path, copy_trained: Callable[[Home, Path], Home], answering: Callable[..., Any]
) -> None:
    copy = Home(copy_trained(home, tmp_path / "home").path, wall=lambda: NOW)
    text = copy.settings_file.read_text()
    city = '[traits."city"]\nkind = '
    other_kind, undeclared = text.replace(f'{city}"text"', f'{city}"flag"'), text.partition("[traits.")[0]
    for changed, names in ((other_kind, set(TRAITS)), (undeclared, set())):
        copy.settings_file.write_text(changed)
        assert {each.feature for each in copy.traits()} == names
        build(copy)
        store = Store(copy)
        assert catalogued(store)
        assert {name for name in store.definitions() if name.startswith("trait_")} == names
        with answering(copy) as ask:
            (answer,) = score(ask, "c4")
            assert answer["score"] is None
            assert "trait_" in answer["reason"]
            assert set(ask("/v1/customers/c4").json()["facts"].get("traits", {})) == names
    copy.settings_file.write_text(text)
    build(copy)
    with answering(copy) as ask:
        assert score(ask, "c4")[0]["score"] is not None
