"""Ranked products and categories: over HTTP, in files, in the shell, and as versions are promoted."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.errors import PatronError
from core.home import Home
from events.files.products import import_products
from events.identity import Identity
from events.lake import shops
from models.categories.history import UNITS
from models.registry.other_models import OTHER_MODELS
from models.registry.promotion import promote, rollback
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from models.spec import Gate
from serving.catalogue.other_models import OtherModels
from serving.operations.doctor import models as checks_of_models
from serving.rankings.files import rank_everyone
from serving.rankings.ranking import CATEGORIES, PRODUCTS, RankingKind
from serving.rankings.stocked import in_stock
from serving.scores.champion_watch import POLL_S, RETRY_S, ChampionWatch, LazyChampion
from serving.scores.inference import UNKNOWN
from training.categories import backtest
from training.categories.pipeline import train_categories
from training.products.pipeline import train_products

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]
NEWCOMER = "new/comer"  # a customer without orders


@dataclass(frozen=True)
class Case:
    """A ranking, and what is its own.

    Attributes:
        damaged: a file of its bundle.
        listed: the start of its line in `patron models`.
        head: the line before its items in the shell, after the customer's id.
    """

    kind: RankingKind[Any]
    train: Callable[[Home, Registry], ModelVersion]
    damaged: str
    listed: str
    head: str


CASES = {
    "products": Case(
        PRODUCTS, train_products, "trees.lgb", "* products              2  2024-07-01  ndcg_10 0.", "",
    ),
    "categories": Case(
        CATEGORIES, train_categories, "pairs.parquet", "* category_propensity   2  2024-07-01  auc 0.",
        ", within 30 days",
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def home(ranked_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with both rankings, and with a customer who has no orders."""
    copied: Home = copy_trained(ranked_shop, tmp_path_factory.mktemp("rankings") / "home")
    Identity(copied).assign([NEWCOMER])
    return copied


@pytest.fixture(scope="module")
def get(home: Home, answering: Any) -> Iterator[Callable[..., httpx.Response]]:
    with answering(home) as ask:
        yield ask


@pytest.fixture(scope="module")
def trained_twice(ranked_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with two versions of both rankings, the second promoted."""
    copied: Home = copy_trained(ranked_shop, tmp_path_factory.mktemp("trained-twice") / "home")
    assert [case.train(copied, Registry(copied)).version for case in CASES.values()] == ["2", "2"]
    return copied


@pytest.fixture
def two(trained_twice: Home, copy_trained: Any, tmp_path: Path) -> Home:
    """A copy of ``trained_twice`` that a test may change."""
    copied: Home = copy_trained(trained_twice, tmp_path / "home")
    return copied


def champion(home: Home, kind: RankingKind[Any]) -> Any:
    return kind.open_champion(Registry(home))


def buyer(home: Home) -> tuple[int, str]:
    """The customer of the most baskets."""
    customers = champion(home, PRODUCTS).fitted.histories.customers
    key = int(customers.customer_key[customers.baskets.argmax()])
    return key, Identity(home).ids([key])[key]


def bundle(home: Home, kind: RankingKind[Any], version: str) -> Path:
    run_id = next(v.run_id for v in Registry(home).versions(kind.model) if v.version == version)
    return home.mlflow / "artifacts" / run_id / "artifacts" / "bundle"


# Over HTTP


def test_a_customer_gets_the_items_of_the_ranking_with_reasons(case: Case, get: Any, home: Home) -> None:
    kind, (key, customer_id) = case.kind, buyer(home)
    response = get(f"/v1/customers/{customer_id}/{kind.items}").json()
    limit = 10 if kind is PRODUCTS else None
    expected = champion(home, kind).rank([key], limit).select([kind.item, "score", "reason"]).to_pylist()
    horizon = {} if kind is PRODUCTS else {"horizon_days": 30}
    assert response == {
        "customer_id": customer_id, "version": "1", "as_of": "2024-07-01T09:30:00Z", "reason": None,
        kind.items: expected,
    } | horizon  # fmt: skip
    scores = [item["score"] for item in expected]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert any(item["reason"].startswith(("bought ", "in ")) for item in expected)
    few = get(f"/v1/customers/{customer_id}/{kind.items}", params={"limit": 2}).json()[kind.items]
    assert few == expected[:2]


def test_every_category_is_ranked_by_default(get: Any, home: Home) -> None:
    _, customer_id = buyer(home)
    rows = get(f"/v1/customers/{customer_id}/categories").json()["categories"]
    categories = champion(home, CATEGORIES).history.categories["category"]
    assert {row["category"] for row in rows} == set(categories)


def test_new_only_leaves_out_products_bought_before(get: Any, home: Home) -> None:
    key, customer_id = buyer(home)
    response = get(f"/v1/customers/{customer_id}/products", params={"limit": 100, "new_only": True}).json()
    fitted = champion(home, PRODUCTS).fitted
    row = int((fitted.histories.customers.customer_key == key).argmax())
    own = fitted.histories.bought.product[fitted.histories.bought.customer == row]
    bought = {fitted.product_ids[place] for place in own}
    assert bought
    assert response["products"]
    assert not {product["product_id"] for product in response["products"]} & bought


def test_a_customer_without_orders_gets_popular_products_and_the_reason(get: Any) -> None:
    response = get("/v1/customers/new%2Fcomer/products?limit=3").json()
    assert (response["customer_id"], response["reason"]) == (NEWCOMER, PRODUCTS.no_orders)
    assert len(response["products"]) == 3
    assert all(product["reason"].startswith("popular: in ") for product in response["products"])
    scores = [product["score"] for product in response["products"]]
    assert scores == sorted(scores, reverse=True)


def test_a_customer_without_orders_gets_no_categories_and_the_reason(get: Any) -> None:
    response = get("/v1/customers/new%2Fcomer/categories").json()
    assert (response["customer_id"], response["reason"]) == (NEWCOMER, CATEGORIES.no_orders)
    assert response["categories"] == []


def test_wrong_requests_are_refused_in_words(case: Case, get: Any, refused: Any) -> None:
    items = case.kind.items
    refused(get(f"/v1/customers/nobody/{items}"), UNKNOWN, 404)
    refused(get(f"/v1/customers/a%00b/{items}"), UNKNOWN, 404)
    new_only = "new_only: " if case.kind is PRODUCTS else "not permitted"
    for params, words in (
        ({"limit": 0}, "limit: "), ({"limit": 101}, "limit: "), ({"limit": "ten"}, "limit: "),
        ({"new_only": "perhaps"}, new_only), ({"k": 3}, "not permitted"),
    ):  # fmt: skip
        refused(get(f"/v1/customers/new%2Fcomer/{items}", params=params), words)


def test_without_a_version_the_response_says_how_to_train_one(
    trained_copy: Home, answering: Any, refused: Any
) -> None:
    customer_id = Identity(trained_copy).table()["customer_id"][0].as_py()
    with answering(trained_copy) as ask:
        for kind in (PRODUCTS, CATEGORIES):
            response = ask(f"/v1/customers/{customer_id}/{kind.items}")
            refused(response, f"never trained; run `patron train {kind.model}`", 503)
        assert not {state["name"] for state in ask("/v1/models").json()} & set(OTHER_MODELS)


def test_no_ranking_is_imported_before_the_first_request() -> None:
    code = "import sys; import serving.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "serving.rankings.ranking" in loaded
    assert not [name for name in loaded if name.startswith(("models.products.", "models.categories."))]


# Beside the models of customers


def test_the_service_lists_the_rankings(get: Any) -> None:
    states = {state["name"]: state for state in get("/v1/models").json()}
    assert list(states) == ["churn", "propensity", "clv", "products", "category_propensity"]
    state = states["category_propensity"]
    assert (state["version"], state["unit"], state["horizon_days"]) == ("1", "probability", 30)
    assert state["trained_as_of"] == "2024-07-01T09:30:00Z"
    assert "of the category within 30 days" in state["meaning"]
    assert all(states[name]["question"] == OTHER_MODELS[name] for name in ("products", "category_propensity"))


def test_while_the_registry_cannot_be_read_the_last_known_versions_are_listed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, reads = [0.0], []

    def unreadable(*_: object) -> None:
        reads.append(seconds[0])
        raise PatronError("MLflow cannot be reached")

    others = OtherModels(ChampionWatch(home, clock=lambda: seconds[0]))
    known = others.states()
    assert [state.name for state in known] == ["products", "category_propensity"]
    monkeypatch.setattr(Registry, "standing", unreadable)
    for seconds[0] in (POLL_S / 2, POLL_S, POLL_S + RETRY_S / 2, POLL_S + RETRY_S):
        assert others.states() == known
    assert reads == [POLL_S, POLL_S + RETRY_S]  # not with every request


# Versions


def test_promotions_are_served_and_a_damaged_version_is_not(case: Case, two: Home) -> None:
    model, registry, seconds = case.kind.model, Registry(two), [0.0]
    lazy = LazyChampion(model, ChampionWatch(two, clock=lambda: seconds[0]), case.kind.open_version)
    assert lazy.current().version == "2"
    rollback(registry, model, "back")
    assert lazy.current().version == "2"  # the registry was read just now
    seconds[0] += POLL_S
    assert lazy.current().version == "1"
    file = bundle(two, case.kind, "2") / case.damaged
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    promote(registry, model, "2", "a try")
    seconds[0] += POLL_S
    assert lazy.current().version == "1"
    file.write_bytes(content)
    seconds[0] += RETRY_S
    assert lazy.current().version == "2"


def test_a_version_published_while_the_service_runs_is_served(
    case: Case, ranked_shop: Home, trained_copy: Home
) -> None:
    seconds, kind = [0.0], case.kind
    watch = ChampionWatch(trained_copy, clock=lambda: seconds[0])
    lazy = LazyChampion(kind.model, watch, kind.open_version)
    with pytest.raises(PatronError, match=f"{kind.model} has no champion"):
        lazy.current()
    files, registry = Registry(ranked_shop).files(kind.model, "1")[0], Registry(trained_copy)
    registry.publish(kind.model, files, TrainingRun({}, {}, {}), ())
    promote(registry, kind.model, "1", "the first")
    with pytest.raises(PatronError, match=f"{kind.model} has no champion"):
        lazy.current()  # the registry is not read twice within a moment
    seconds[0] += POLL_S
    assert lazy.current().version == "1"


def test_a_damaged_version_is_reported_by_the_service_and_by_the_doctor(case: Case, two: Home) -> None:
    name = case.kind.model
    assert f"{name}: version 2 of 2 answers" in [f"{c.part}: {c.result}" for c in checks_of_models(two)]
    file = bundle(two, case.kind, "2") / case.damaged
    file.write_bytes(file.read_bytes() + b" ")
    (state,) = (state for state in OtherModels(ChampionWatch(two)).states() if state.name == name)
    assert state.version is None
    assert state.reason is not None
    assert f"{case.damaged} is missing or not as it was published" in state.reason


def test_the_same_orders_make_the_same_files(case: Case, two: Home) -> None:
    newer, older = (Registry(two).files(case.kind.model, version)[0] for version in ("2", "1"))
    assert {name for name in newer if newer[name] != older[name]} == {"MLmodel"}


def test_a_version_no_better_than_habit_is_not_promoted(
    ranked_shop: Home, copy_home: Callable[[Home], Home], monkeypatch: pytest.MonkeyPatch, run_patron: Run
) -> None:
    copied, name = copy_home(ranked_shop), CATEGORIES.model
    impossible = Gate("auc_within_category", "no version is as good", at_least=2)
    question = backtest.CategoryQuestion(gates=(impossible,))
    monkeypatch.setattr("training.categories.pipeline.CategoryQuestion", lambda: question)
    code, out, _ = run_patron(copied, "train", name)
    assert code == 3
    assert out.startswith(f"{name} version 2: auc 0.")
    assert "not promoted: auc_within_category is" in out
    assert Registry(copied).champions([name]) == {name: "1"}


def test_the_run_of_category_propensity_has_measures_and_a_card(home: Home) -> None:
    version = Registry(home).versions(CATEGORIES.model)[0]
    assert {
        "auc_within_category_over_habit", "auc_within_customer_over_habit_low", "calibration_slope",
    } <= set(version.metrics)  # fmt: skip
    card = (home.mlflow / "artifacts" / version.run_id / "artifacts" / "card.md").read_text()
    for words in ("## By slice", "tested on 2024-06-01", *(f"- `{name}`: " for name in UNITS)):
        assert words in card


# In the shell


def test_patron_models_lists_a_ranking_and_patron_promote_promotes_it(
    case: Case, two: Home, run_patron: Run
) -> None:
    name = case.kind.model
    code, out, _ = run_patron(two, "models", name, "--json")
    assert code == 0
    (newer, older) = json.loads(out)["models"][name]["versions"]
    assert (newer["version"], newer["champion"], older["champion"]) == ("2", True, False)
    assert newer["trained"] == "2024-07-01T09:30:00Z"
    if case.kind is PRODUCTS:
        measures = {"ndcg_10", "ndcg_10_over_bought_before", "new_ndcg_10", "total_ratio"}
        assert measures < set(newer["metrics"])
    assert case.listed in run_patron(two, "models")[1]
    assert run_patron(two, "promote", name, "1", "--why", "a try")[0] == 0
    assert Registry(two).champions([name]) == {name: "1"}


def test_one_customer_in_the_shell(case: Case, home: Home, run_patron: Run) -> None:
    verb, (_, customer_id) = case.kind.items, buyer(home)
    code, out, _ = run_patron(home, verb, customer_id, "--limit", 3)
    assert code == 0
    head, *rows = out.splitlines()
    assert head == f"{customer_id}{case.head}, by version 1, as of 2024-07-01 09:30 UTC"
    assert len(rows) == 3
    assert case.kind.no_orders in run_patron(home, verb, NEWCOMER)[1]
    code, _, err = run_patron(home, verb, "nobody")
    assert (code, err.count("\n")) == (1, 1)
    assert f"{UNKNOWN}; `patron {verb}` takes the shop's own ids" in err
    for words in ((), ("x", "--out", "f.csv")):
        assert run_patron(home, verb, *words)[0] == 2
    assert run_patron(home, "categories", "x", "--category", "tea")[0] == 2


def test_everyone_in_a_file(case: Case, home: Home, run_patron: Run, tmp_path: Path) -> None:
    kind, out, (key, customer_id) = case.kind, tmp_path / "all.parquet", buyer(home)
    code, text, _ = run_patron(home, kind.items, "--out", out, "--limit", 3, "--json")
    assert code == 0
    rows = pq.read_table(out).to_pandas()
    columns = ["customer_id", "rank", kind.item, "score", "reason", f"{kind.model}_version"]
    assert list(rows.columns) == columns
    ids = set(Identity(home).table()["customer_id"].to_pylist())
    without_orders = {NEWCOMER} if kind is PRODUCTS else set()
    ordered = len(champion(home, CATEGORIES).history.customers)
    assert json.loads(text)["customers"] == rows["customer_id"].nunique()
    assert len(set(rows["customer_id"])) >= ordered
    assert set(rows["customer_id"]) <= ids
    assert without_orders <= set(rows["customer_id"])
    assert rows["rank"].tolist() == [1, 2, 3] * (len(rows) // 3)
    own = rows[rows["customer_id"] == customer_id]
    ranked = champion(home, kind).rank([key], 3).to_pandas()
    pd.testing.assert_frame_equal(
        own[[kind.item, "score", "reason"]].reset_index(drop=True), ranked[[kind.item, "score", "reason"]]
    )
    code, _, err = run_patron(home, kind.items, "--out", tmp_path / "all.txt")
    assert code == 1
    assert "must end in .parquet or .ndjson or .csv" in err


def test_the_best_customers_of_a_category_in_a_file(home: Home, run_patron: Run, tmp_path: Path) -> None:
    everyone, best = tmp_path / "everyone.parquet", tmp_path / "best.parquet"
    category = champion(home, CATEGORIES).history.categories["category"].iloc[2]
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


def test_rules_in_a_file(home: Home, run_patron: Run, tmp_path: Path) -> None:
    out = tmp_path / "rules.csv"
    code, text, _ = run_patron(home, "products", "--rules", out, "--json")
    assert code == 0
    with open(out, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == json.loads(text)["rules"] > 10
    for row in rows:
        assert int(row["baskets"]) >= 10
        assert float(row["confidence"]) == pytest.approx(int(row["baskets"]) / int(row["antecedent_baskets"]))
    code, _, err = run_patron(home, "products", "--rules", out, "--least-baskets", 10**6)
    assert code == 1
    assert "choose a smaller --least-baskets" in err


def test_a_shop_without_orders_is_refused_in_a_line(tmp_path: Path, run_patron: Run) -> None:
    empty, name = Home(tmp_path / "home"), CATEGORIES.model
    shops.begin_live(empty, "UTC", "EUR")
    code, _, err = run_patron(empty, "train", name)
    assert (code, err.count("\n")) == (1, 1)
    assert "orders name 0 categories" in err
    assert run_patron(empty, "train", name, "--horizon", "9")[0] == 2


def test_a_catalogue_describes_products_and_hides_those_that_are_out_of_stock(
    ranked_shop: Home, copy_trained: Any, tmp_path: Path, answering: Any
) -> None:
    home = copy_trained(ranked_shop, tmp_path / "home")
    customer = Identity(home).table()["customer_id"][0].as_py()
    place = f"/v1/customers/{customer}/products"
    with answering(home) as get:
        before = get(place, params={"limit": 3}).json()
        assert all(set(product) == {"product_id", "score", "reason"} for product in before["products"])
        first, second = (product["product_id"] for product in before["products"][:2])
        feed = tmp_path / "feed.csv"
        feed.write_text(f"id,title,price,quantity\n{first},Gone,5,0\n{second},Here,7.5,4\n")
        import_products(home, feed)
        after = get(place, params={"limit": 3}).json()
        assert after["products"][0] == before["products"][1] | {
            "name": "Here", "url": None, "image_url": None, "price": 7.5, "stock": 4.0,
        }  # fmt: skip
        assert len(after["products"]) == 3
        assert first not in {product["product_id"] for product in after["products"]}
        assert after["products"][1]["name"] is None
    out = tmp_path / "products.parquet"
    rank_everyone(home, PRODUCTS, in_stock(home, PRODUCTS.open_champion(Registry(home))), out, 2)
    rows = pq.read_table(out)
    assert {"name", "url", "image_url", "price", "stock"} <= set(rows.column_names)
    assert first not in rows["product_id"].to_pylist()
