"""Backtests of the ranking of products, on small shops with known results."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pyarrow.parquet as pq
import pytest

from core.calendar import micros
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events.files import imports
from events.files.table import open_table
from events.identity import Identity, join
from events.lake import shops
from events.queries.merchandise import merchandise
from models.products.assortment import Links
from models.products.purchases import Purchases, read
from models.products.ranker import fit
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.spec import Gate
from training.products import backtest, pipeline
from training.products.pipeline import train_products
from training.tables.labelled import label
from training.tables.pipeline import train_table

START = datetime(2010, 1, 4, 12)  # noqa: DTZ001 - the shop's, as in the file
PAST = datetime(2024, 1, 1, tzinfo=UTC)
Row = tuple[str, str, int, datetime, float, int]
RetailWriter = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


def household(customers: int = 240) -> list[Row]:
    """A shop of a year: every 20 days a customer buys milk, and by turns one of their two teas."""
    chance = random.Random(3)
    rows = []
    for customer in range(1, customers + 1):
        teas = [f"tea {number:02}" for number in chance.sample(range(30), 2)]
        for n, day in enumerate(range(chance.randrange(20), 366, 20)):
            products = ["milk", teas[n % 2]]
            products += [f"oddment {chance.randrange(20):02}"] if chance.random() < 0.3 else []
            when = START + timedelta(days=day)
            rows += [(f"{customer:03}{n:02}", product, 1, when, 2.0, customer) for product in products]
    return rows


@pytest.fixture
def shop_of(small_retail: RetailWriter, tmp_path: Path) -> Callable[[list[Row]], Home]:
    def make(rows: list[Row]) -> Home:
        home = Home(tmp_path / "home")
        imports.import_file(home, str(small_retail(rows)), "online-retail")
        return home

    return make


def whole(home: Home) -> Purchases:
    goods = merchandise(home)
    return read(goods.order_lines, goods.as_of, goods.time_zone, goods.never)


def test_measures_are_those_of_plain_python(shop_of: Callable[[list[Row]], Home]) -> None:
    home = shop_of(household())
    goods, days = merchandise(home), 30
    origin = goods.as_of - timedelta(days=days)
    learnt = fit(goods.order_lines, origin, goods.time_zone, goods.never)
    every, new = backtest.backtest(learnt, whole(home), days)
    rows, ids, begin = household(), Identity(home), origin.replace(tzinfo=None)
    first = {
        customer: min(
            when for *_, when, _, c in rows if c == customer and when >= origin.replace(tzinfo=None)
        )
        for customer in range(1, 241)
    }
    keys = ids.keys([str(customer) for customer in first])
    assert sorted(keys.values()) == every.customers.tolist()
    ndcg, success, old = {}, {}, set()
    for customer, moment in first.items():
        basket = {product for _, product, _, when, _, c in rows if (c, when) == (customer, moment)}
        shown = learnt.rank([keys[str(customer)]], backtest.K)["product_id"].to_pylist()
        gains = [(product in basket) / np.log2(i + 2) for i, product in enumerate(shown)]
        ndcg[keys[str(customer)]] = sum(gains) / sum(1 / np.log2(i + 2) for i in range(len(basket)))
        success[keys[str(customer)]] = float(bool(basket & set(shown)))
        before = {p for _, p, _, when, _, c in rows if c == customer and when < begin}
        old |= set() if basket - before else {keys[str(customer)]}
    assert every.values[backtest.OURS, "ndcg_10"] == pytest.approx([ndcg[k] for k in sorted(ndcg)])
    assert every.values[backtest.OURS, "success_10"].tolist() == [success[k] for k in sorted(success)]
    assert set(new.customers) == set(every.customers) - old


def test_the_test_baskets_do_not_affect_the_fit(
    shop_of: Callable[[list[Row]], Home],
) -> None:
    home = shop_of(household())
    goods = merchandise(home)
    examined = pipeline.backtest_ranking(goods, whole(home), Links())
    assert examined.days == 30
    assert examined.origin == goods.as_of - timedelta(days=30)
    later = ibis.literal(examined.origin.replace(tzinfo=None), "timestamp(6)")
    lines = goods.order_lines
    hidden = lines.mutate(product_id=(lines.timestamp >= later).ifelse("ghost", lines.product_id))
    shown = pipeline.backtest_ranking(replace(goods, order_lines=hidden), whole(home), Links())
    assert shown.measures == examined.measures


def test_the_ranking_learns_the_household_pattern_and_passes_its_gates(
    shop_of: Callable[[list[Row]], Home], monkeypatch: pytest.MonkeyPatch, run_patron: Run
) -> None:
    home = shop_of(household())
    registry = Registry(home)
    first = train_products(home, registry)
    assert (first.champion, first.failed_gates) == (True, ())
    assert first.metrics["ndcg_10_over_bought_before"] > 0
    assert 0.8 < first.metrics["total_ratio"] < 1.25
    assert first.metrics["test_customers"] == 240
    failing = Gate("ndcg_10", "nobody is as good", at_least=2)
    monkeypatch.setattr(pipeline, "GATES", (*pipeline.GATES, failing))
    code, out, _ = run_patron(home, "train", "products")
    assert code == 3
    assert out.startswith("products version 2: ndcg_10 0.")
    assert "not promoted: ndcg_10 is" in out
    assert registry.champions(["products"]) == {"products": "1"}
    again, before = (registry.files("products", version)[0] for version in ("2", "1"))
    assert {n for n in again if again[n] != before[n]} == {"MLmodel"}  # the same orders, the same files


def test_postage_is_neither_ranked_nor_in_rules(
    shop_of: Callable[[list[Row]], Home], run_patron: Run, tmp_path: Path
) -> None:
    rows = household(40)
    home = shop_of(rows + [(order, "POST", 1, when, 5.0, c) for order, _, _, when, _, c in rows])
    assert "POST" in merchandise(home).never
    assert "POST" not in whole(home).product_ids
    out = tmp_path / "rules.parquet"
    assert run_patron(home, "products", "--rules", out, "--least-baskets", 1)[0] == 0
    assert set(pq.read_table(out)["antecedent"].to_pylist()) > {"milk"}
    assert "POST" not in pq.read_table(out)["antecedent"].to_pylist()


def test_orders_of_merged_customers_are_counted_once(shop_copy: Home) -> None:
    before = merchandise(shop_copy).order_lines.customer_key.value_counts().to_pyarrow().to_pydict()
    lines = dict(zip(*before.values(), strict=True))
    gone, into = sorted(lines)[:2]
    names = Identity(shop_copy).ids([gone, into])
    with Database(shop_copy).writing() as connection:
        join(connection, names[gone], names[into], micros(PAST), 1)
    after = merchandise(shop_copy).order_lines.customer_key.value_counts().to_pyarrow().to_pydict()
    expected = {key: count for key, count in lines.items() if key != gone}
    expected[into] += lines[gone]
    assert dict(zip(*after.values(), strict=True)) == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (household()[:3], "0 customers came back in the 90 days before"),
        ([row for row in household() if row[1] == "milk"], "have one product, so there is nothing to rank"),
        (
            [row for row in household() if row[3] > START + timedelta(days=260)],
            "training needs 120 days before",
        ),
    ],
)
def test_shops_with_too_little_data_are_refused_in_one_line(
    rows: list[Row], words: str, shop_of: Callable[[list[Row]], Home], run_patron: Run
) -> None:
    home = shop_of(rows)
    code, out, err = run_patron(home, "train", "products")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert "unexpected" not in err
    assert Registry(home).versions("products") == []


def test_rules_of_a_single_product_are_refused_in_one_line(
    shop_of: Callable[[list[Row]], Home], run_patron: Run, tmp_path: Path
) -> None:
    home = shop_of([row for row in household(3) if row[1] == "milk"])
    out = tmp_path / "rules.csv"
    code, _, err = run_patron(home, "products", "--rules", out)
    assert (code, err.count("\n")) == (1, 1)
    assert "rules need two products" in err
    assert not out.exists()


def test_an_empty_shop_is_refused_in_one_line(tmp_path: Path, run_patron: Run) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, "UTC", "EUR")
    for words in (("train", "products"), ("products", "--rules", tmp_path / "r.csv")):
        code, _, err = run_patron(home, *words)
        assert (code, err.count("\n")) == (1, 1)
        assert "names a product; import orders" in err


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_a_table_model_cannot_have_the_name_products(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.csv"
    file.write_text("x,y\n" + "".join(f"{i % 7},{int(i % 7 > 3)}\n" for i in range(400)))
    with pytest.raises(PatronError, match="is the name of a model that comes with Patron"):
        train_table(
            Home(tmp_path / "h"), Registry(Home(tmp_path / "h")), label(open_table(file), "y", None, [])
        )
