"""What a customer buys next, asked over HTTP and in the shell, and followed as versions are promoted."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from core.errors import PatronError
from core.home import Home
from events.identity import Identity
from models.products.published import open_champion
from models.products.ranker import FittedProducts
from models.registry.promotion import promote, rollback
from models.registry.registry import Registry
from serving.rankings.products import NO_ORDERS, Products
from serving.scores.champions import POLL_S, RETRY_S
from serving.scores.scorer import UNKNOWN
from training.products.pipeline import train_products

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(ranked_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with a ranking, and with a customer who has no orders."""
    copied: Home = copy_trained(ranked_shop, tmp_path_factory.mktemp("products") / "home")
    Identity(copied).assign(["new/comer"])
    return copied


@pytest.fixture(scope="module")
def ranking(home: Home) -> FittedProducts:
    return open_champion(Registry(home)).ranking


@pytest.fixture(scope="module")
def get(home: Home, answering: Any) -> Iterator[Callable[..., httpx.Response]]:
    with answering(home) as ask:
        yield ask


def buyer(home: Home, ranking: FittedProducts) -> tuple[int, str]:
    """The customer of the most baskets."""
    everyone = ranking.histories.customers
    key = int(everyone.customer_key[everyone.baskets.argmax()])
    return key, Identity(home).ids([key])[key]


# Over HTTP


def test_a_customer_is_told_the_products_of_the_ranking_with_reasons(
    get: Any, home: Home, ranking: FittedProducts
) -> None:
    key, customer_id = buyer(home, ranking)
    told = get(f"/v1/customers/{customer_id}/products").json()
    expected = ranking.rank([key], 10).select(["product_id", "score", "reason"]).to_pylist()
    assert told == {
        "customer_id": customer_id, "version": "1", "as_of": "2024-07-01T09:30:00Z", "reason": None,
        "products": expected,
    }  # fmt: skip
    assert any(product["reason"].startswith("bought ") for product in expected)
    two = get(f"/v1/customers/{customer_id}/products", params={"limit": 2}).json()["products"]
    assert two == expected[:2]


def test_new_only_leaves_out_what_was_bought(get: Any, home: Home, ranking: FittedProducts) -> None:
    key, customer_id = buyer(home, ranking)
    asked = get(f"/v1/customers/{customer_id}/products", params={"limit": 100, "new_only": True}).json()
    row = int((ranking.histories.customers.customer_key == key).argmax())
    own = ranking.histories.bought.product[ranking.histories.bought.customer == row]
    bought = {ranking.product_ids[place] for place in own}
    assert bought
    assert asked["products"]
    assert not {product["product_id"] for product in asked["products"]} & bought


def test_a_customer_without_orders_is_told_what_is_popular_and_that_it_is(get: Any) -> None:
    told = get("/v1/customers/new%2Fcomer/products?limit=3").json()
    assert (told["customer_id"], told["reason"]) == ("new/comer", NO_ORDERS)
    assert len(told["products"]) == 3
    assert all(product["reason"].startswith("popular: in ") for product in told["products"])
    scores = [product["score"] for product in told["products"]]
    assert scores == sorted(scores, reverse=True)


def test_what_is_asked_wrongly_is_refused_in_words(get: Any, refused: Any) -> None:
    refused(get("/v1/customers/nobody/products"), UNKNOWN, 404)
    refused(get("/v1/customers/a%00b/products"), UNKNOWN, 404)
    for params, words in (
        ({"limit": 0}, "limit: "), ({"limit": 101}, "limit: "), ({"limit": "ten"}, "limit: "),
        ({"new_only": "perhaps"}, "new_only: "), ({"k": 3}, "not permitted"),
    ):  # fmt: skip
        refused(get("/v1/customers/new%2Fcomer/products", params=params), words)


def test_without_a_ranking_it_says_how_to_get_one(trained_copy: Home, answering: Any, refused: Any) -> None:
    customer_id = Identity(trained_copy).table()["customer_id"][0].as_py()
    with answering(trained_copy) as ask:
        response = ask(f"/v1/customers/{customer_id}/products")
        refused(response, "never trained; run `patron train products`", 503)


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = "import sys; import serving.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "serving.rankings.products" in loaded
    assert not {name for name in loaded if name.startswith("models.products.")}


# Versions


@pytest.fixture
def two(ranked_shop: Home, copy_home: Callable[[Home], Home]) -> Home:
    """A shop with two versions of the ranking, of which the second answers."""
    copied = copy_home(ranked_shop)
    assert train_products(copied, Registry(copied)).version == "2"
    return copied


def test_promotions_are_followed_and_a_damaged_version_stops_nothing(two: Home) -> None:
    seconds = [0.0]
    held = Products(two, clock=lambda: seconds[0])
    registry = Registry(two)
    assert held.now().version == "2"
    rollback(registry, "products", "back")
    assert held.now().version == "2"  # it was looked up just now
    seconds[0] += POLL_S
    assert held.now().version == "1"
    run_id = next(v.run_id for v in registry.versions("products") if v.version == "2")
    trees = two.mlflow / "artifacts" / run_id / "artifacts" / "bundle" / "trees.lgb"
    whole = trees.read_bytes()
    trees.write_bytes(whole + b" ")
    promote(registry, "products", "2", "a try")
    seconds[0] += POLL_S
    assert held.now().version == "1"
    trees.write_bytes(whole)
    seconds[0] += RETRY_S
    assert held.now().version == "2"
    held.close()


def test_a_ranking_that_is_trained_while_the_service_runs_answers(
    ranked_shop: Home, trained_copy: Home
) -> None:
    seconds = [0.0]
    held = Products(trained_copy, clock=lambda: seconds[0])
    with pytest.raises(PatronError, match="products has no champion"):
        held.now()
    train_products(trained_copy, Registry(trained_copy))
    with pytest.raises(PatronError, match="products has no champion"):
        held.now()  # nobody looks twice within a moment
    seconds[0] += POLL_S
    assert held.now().version == "1"
    held.close()


# In the shell


def test_models_lists_it_and_it_is_promoted_as_others_are(two: Home, run_patron: Run) -> None:
    code, out, _ = run_patron(two, "models", "products", "--json")
    assert code == 0
    (newer, older) = json.loads(out)["models"]["products"]["versions"]
    assert (newer["version"], newer["champion"], older["champion"]) == ("2", True, False)
    assert newer["trained"] == "2024-07-01T09:30:00Z"
    assert {"ndcg_10", "ndcg_10_over_bought_before", "new_ndcg_10", "total_ratio"} < set(newer["metrics"])
    listed = run_patron(two, "models")[1]
    assert "* products              2  2024-07-01  ndcg_10 0." in listed
    assert run_patron(two, "promote", "products", "1", "--why", "a try")[0] == 0
    assert Registry(two).champions(["products"]) == {"products": "1"}


def test_one_customer_is_told_in_the_shell(home: Home, ranking: FittedProducts, run_patron: Run) -> None:
    _, customer_id = buyer(home, ranking)
    code, out, _ = run_patron(home, "products", customer_id, "--limit", 3)
    assert code == 0
    head, *rows = out.splitlines()
    assert head == f"{customer_id}, by version 1, as of 2024-07-01 09:30 UTC"
    assert len(rows) == 3
    assert NO_ORDERS in run_patron(home, "products", "new/comer")[1]
    code, _, err = run_patron(home, "products", "nobody")
    assert (code, err.count("\n")) == (1, 1)
    assert "unknown customer" in err


def test_everyone_is_written_into_a_file(
    home: Home, ranking: FittedProducts, run_patron: Run, tmp_path: Path
) -> None:
    out = tmp_path / "products.parquet"
    assert run_patron(home, "products", "--out", out, "--limit", 4)[0] == 0
    rows = pq.read_table(out).to_pandas()
    ids = Identity(home).table()
    assert set(rows["customer_id"]) == set(ids["customer_id"].to_pylist())
    key, customer_id = buyer(home, ranking)
    own = rows[rows["customer_id"] == customer_id]
    assert own["rank"].tolist() == [1, 2, 3, 4]
    assert own["product_id"].tolist() == ranking.rank([key], 4)["product_id"].to_pylist()
    code, _, err = run_patron(home, "products", "--out", tmp_path / "products.txt")
    assert code == 1
    assert "must end in .parquet or .ndjson or .csv" in err


def test_rules_are_written_into_a_file(home: Home, run_patron: Run, tmp_path: Path) -> None:
    out = tmp_path / "rules.csv"
    code, said, _ = run_patron(home, "products", "--rules", out, "--json")
    assert code == 0
    with open(out, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == json.loads(said)["rules"] > 10
    for row in rows:
        assert int(row["baskets"]) >= 10
        assert float(row["confidence"]) == pytest.approx(int(row["baskets"]) / int(row["antecedent_baskets"]))
    code, _, err = run_patron(home, "products", "--rules", out, "--least-baskets", 10**6)
    assert code == 1
    assert "say a smaller --least-baskets" in err
