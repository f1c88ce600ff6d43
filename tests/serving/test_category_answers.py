"""Propensity per category, trained, asked over HTTP and in the shell, and told of beside the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from core.errors import PatronError
from core.home import Home
from events.files import imports
from events.identity import Identity
from models.categories.history import UNITS
from models.categories.published import Published, open_champion
from models.registry.other_models import BESIDE
from models.registry.promotion import promote, rollback
from models.registry.registry import Registry
from models.spec import Gate
from serving.catalogue.other_models import OtherModels
from serving.operations.doctor import models as checks_of_models
from serving.rankings.categories import NO_ORDERS, Categories
from serving.scores.champions import POLL_S, RETRY_S
from serving.scores.scorer import UNKNOWN
from training.categories import exam
from training.categories.pipeline import train_categories

Run = Callable[..., tuple[int, str, str]]
NAME = "category_propensity"


@pytest.fixture(scope="module")
def home(ranked_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop whose categories were learnt, and with a customer who has no orders."""
    copied: Home = copy_trained(ranked_shop, tmp_path_factory.mktemp("categories") / "home")
    Identity(copied).assign(["new/comer"])
    return copied


@pytest.fixture(scope="module")
def published(home: Home) -> Published:
    return open_champion(Registry(home))


@pytest.fixture(scope="module")
def get(home: Home, answering: Any) -> Iterator[Callable[..., httpx.Response]]:
    with answering(home) as ask:
        yield ask


def buyer(home: Home, published: Published) -> str:
    """The customer of the most orders."""
    customers = published.history.customers
    key = int(customers["customer_key"].iloc[customers["orders_total"].argmax()])
    return Identity(home).ids([key])[key]


# Over HTTP


def test_a_customer_is_told_every_category_with_its_probability_and_reason(
    get: Any, home: Home, published: Published
) -> None:
    customer_id = buyer(home, published)
    told = get(f"/v1/customers/{customer_id}/categories").json()
    rows = told.pop("categories")
    assert told == {
        "customer_id": customer_id, "version": "1", "as_of": "2024-07-01T09:30:00Z", "horizon_days": 30,
        "reason": None,
    }  # fmt: skip
    assert {row["category"] for row in rows} == set(published.history.categories["category"])
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert rows[0]["reason"].startswith("in ")
    assert get(f"/v1/customers/{customer_id}/categories?limit=2").json()["categories"] == rows[:2]


def test_a_customer_without_orders_is_told_why_there_are_no_categories(get: Any) -> None:
    told = get("/v1/customers/new%2Fcomer/categories").json()
    assert (told["customer_id"], told["reason"], told["categories"]) == ("new/comer", NO_ORDERS, [])


def test_what_is_asked_wrongly_is_refused_in_words(get: Any, refused: Any) -> None:
    refused(get("/v1/customers/nobody/categories"), UNKNOWN, 404)
    for params, words in (
        ({"limit": 0}, "limit: "), ({"limit": 101}, "limit: "), ({"k": 3}, "not permitted"),
    ):  # fmt: skip
        refused(get("/v1/customers/new%2Fcomer/categories", params=params), words)


def test_where_it_was_never_trained_it_says_how_and_nothing_else_does(
    trained_copy: Home, answering: Any, refused: Any
) -> None:
    customer_id = Identity(trained_copy).table()["customer_id"][0].as_py()
    with answering(trained_copy) as ask:
        response = ask(f"/v1/customers/{customer_id}/categories")
        refused(response, "never trained; run `patron train category_propensity`", 503)
        assert not {state["name"] for state in ask("/v1/models").json()} & set(BESIDE)


def test_the_service_tells_of_the_models_beside_the_scores(get: Any) -> None:
    states = {state["name"]: state for state in get("/v1/models").json()}
    assert list(states) == ["churn", "propensity", "clv", "products", NAME]
    state = states[NAME]
    assert (state["version"], state["unit"], state["horizon_days"]) == ("1", "probability", 30)
    assert state["trained_as_of"] == "2024-07-01T09:30:00Z"
    assert "of the category within 30 days" in state["meaning"]
    assert all(states[name]["question"] == BESIDE[name] for name in ("products", NAME))


def test_while_the_registry_is_away_it_tells_what_it_last_knew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, asked = [0.0], []

    def away(*_: object) -> None:
        asked.append(seconds[0])
        raise PatronError("MLflow is away")

    beside = OtherModels(home, clock=lambda: seconds[0])
    known = beside.states()
    assert [state.name for state in known] == ["products", NAME]
    monkeypatch.setattr(Registry, "champions", away)
    for seconds[0] in (POLL_S / 2, POLL_S, POLL_S + RETRY_S / 2, POLL_S + RETRY_S):
        assert beside.states() == known
    assert asked == [POLL_S, POLL_S + RETRY_S]  # not with every request


# Versions


@pytest.fixture
def two(ranked_shop: Home, copy_home: Callable[[Home], Home]) -> Home:
    """A shop with two versions, of which the second answers."""
    copied = copy_home(ranked_shop)
    assert train_categories(copied, Registry(copied)).version == "2"
    return copied


def test_the_same_orders_make_the_same_files_and_promotions_are_followed(two: Home) -> None:
    registry, seconds = Registry(two), [0.0]
    again, before = (registry.files(NAME, version)[0] for version in ("2", "1"))
    assert {name for name in again if again[name] != before[name]} == {"MLmodel"}
    held = Categories(two, clock=lambda: seconds[0])
    assert held.now().version == "2"
    rollback(registry, NAME, "back")
    seconds[0] += POLL_S
    assert held.now().version == "1"
    promote(registry, NAME, "2", "forth")
    seconds[0] += POLL_S
    assert held.now().version == "2"
    held.close()


def test_a_damaged_version_is_told_by_the_service_and_by_the_doctor(two: Home) -> None:
    registry = Registry(two)
    assert f"{NAME}: version 2 of 2 answers" in [f"{c.part}: {c.found}" for c in checks_of_models(two)]
    run_id = registry.versions(NAME)[0].run_id
    pairs = two.mlflow / "artifacts" / run_id / "artifacts" / "bundle" / "pairs.parquet"
    pairs.write_bytes(pairs.read_bytes() + b" ")
    (state,) = (state for state in OtherModels(two).states() if state.name == NAME)
    assert state.version is None
    assert state.reason is not None
    assert "pairs.parquet is missing or not as it was published" in state.reason


def test_a_version_that_is_no_better_than_habit_is_not_promoted(
    ranked_shop: Home, copy_home: Callable[[Home], Home], monkeypatch: pytest.MonkeyPatch, run_patron: Run
) -> None:
    copied = copy_home(ranked_shop)
    shut = Gate("auc_within_category", "nobody is as good", at_least=2)
    question = exam.CategoryQuestion(gates=(shut,))
    monkeypatch.setattr("training.categories.pipeline.CategoryQuestion", lambda: question)
    code, out, _ = run_patron(copied, "train", NAME)
    assert code == 3
    assert out.startswith(f"{NAME} version 2: auc 0.")
    assert "not promoted: auc_within_category is" in out
    assert Registry(copied).champions([NAME]) == {NAME: "1"}


def test_its_run_has_measures_and_a_card(home: Home) -> None:
    version = Registry(home).versions(NAME)[0]
    assert {
        "auc_within_category_over_habit", "auc_within_customer_over_habit_low", "calibration_slope",
    } <= set(version.metrics)  # fmt: skip
    card = (home.mlflow / "artifacts" / version.run_id / "artifacts" / "card.md").read_text()
    for words in ("## By slice", "tested on 2024-06-01", *(f"- `{name}`: " for name in UNITS)):
        assert words in card


# In the shell


def test_models_lists_it_and_it_is_moved_as_others_are(two: Home, run_patron: Run) -> None:
    assert "* category_propensity   2  2024-07-01  auc 0." in run_patron(two, "models")[1]
    assert run_patron(two, "promote", NAME, "1", "--why", "a try")[0] == 0
    assert Registry(two).champions([NAME]) == {NAME: "1"}


def test_one_customer_is_told_in_the_shell(home: Home, published: Published, run_patron: Run) -> None:
    customer_id = buyer(home, published)
    code, out, _ = run_patron(home, "categories", customer_id, "--limit", 3)
    assert code == 0
    head, *rows = out.splitlines()
    assert head == f"{customer_id}, within 30 days, by version 1, as of 2024-07-01 09:30 UTC"
    assert len(rows) == 3
    assert NO_ORDERS in run_patron(home, "categories", "new/comer")[1]
    code, _, err = run_patron(home, "categories", "nobody")
    assert (code, err.count("\n")) == (1, 1)
    assert "unknown customer" in err
    for words in ((), ("x", "--out", "f.csv"), ("x", "--category", "tea")):
        assert run_patron(home, "categories", *words)[0] == 2


def test_everyone_who_ordered_is_written_into_a_file(
    home: Home, published: Published, run_patron: Run, tmp_path: Path
) -> None:
    out = tmp_path / "categories.parquet"
    code, said, _ = run_patron(home, "categories", "--out", out, "--limit", 3, "--json")
    assert code == 0
    rows = pq.read_table(out).to_pandas()
    assert json.loads(said)["customers"] == rows["customer_id"].nunique() == len(published.history.customers)
    assert rows["rank"].tolist() == [1, 2, 3] * (len(rows) // 3)
    own = rows[rows["customer_id"] == buyer(home, published)]
    told = run_patron(home, "categories", buyer(home, published), "--limit", 3, "--json")[1]
    assert own["score"].tolist() == [row["score"] for row in json.loads(told)["categories"]]


def test_the_best_customers_of_a_category_are_written_into_a_file(
    home: Home, published: Published, run_patron: Run, tmp_path: Path
) -> None:
    everyone, best = tmp_path / "everyone.parquet", tmp_path / "best.parquet"
    category = published.history.categories["category"].iloc[2]
    assert run_patron(home, "categories", "--out", everyone)[0] == 0
    assert run_patron(home, "categories", "--category", category, "--out", best, "--limit", 20)[0] == 0
    rows = pq.read_table(best).to_pandas()
    assert rows["rank"].tolist() == [*range(1, 21)]
    whole = pq.read_table(everyone).to_pandas()
    of_it = whole[whole["category"] == category].sort_values("score", ascending=False, kind="stable")
    assert rows["score"].tolist() == of_it["score"].tolist()[:20]
    assert set(zip(rows["customer_id"], rows["score"], strict=True)) <= set(
        zip(of_it["customer_id"], of_it["score"], strict=True)
    )
    code, _, err = run_patron(home, "categories", "--category", "a/none", "--out", best)
    assert (code, err.count("\n")) == (1, 1)
    assert "nobody had ordered of 'a/none' when version 1 was trained; there are " in err


def test_a_shop_without_orders_is_refused_in_a_line(tmp_path: Path, run_patron: Run) -> None:
    empty = Home(tmp_path / "home")
    imports.begin_live(empty, "UTC", "EUR")
    code, _, err = run_patron(empty, "train", NAME)
    assert (code, err.count("\n")) == (1, 1)
    assert "orders name 0 categories" in err
    assert run_patron(empty, "train", NAME, "--horizon", "9")[0] == 2
