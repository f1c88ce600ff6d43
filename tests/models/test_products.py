"""Association rules and rankings of products, in small shops with known results."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import PatronError
from events.schema import SCHEMAS
from models.products import assortment, baselines, candidates, learning, purchases, rules
from models.products.files import open_products, to_files
from models.products.histories import histories
from models.products.ranker import FittedProducts, fit
from models.products.sparse import largest
from models.registry.bundle import MANIFEST, digest, open_bundle

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
FIRST_DAY = 19723  # START as days since 1970-01-01
Line = tuple[int, int, str, str]  # customer, day after START, order, product
HOUSEHOLD = {"milk": "dairy", "bread": "bakery", "tea": "drinks", "kettle": "kitchen", "mug": "kitchen"}


def order_lines(lines: Iterable[Line], received_days_later: int = 0) -> ir.Table:
    """Canonical order lines, each of one piece for 2."""
    rows = []
    for customer, day, order, product in lines:
        at = (START + timedelta(days=day)).replace(tzinfo=None)
        rows.append(
            {
                "customer_key": customer,
                "timestamp": at,
                "received_at": at + timedelta(days=received_days_later),
                "day": FIRST_DAY + day,
                "order_id": order,
                "product_id": product,
                "category": HOUSEHOLD.get(product),
                "quantity": 1,
                "amount": 2,
                "discount": 0,
            }
        )
    schema = ibis.schema(SCHEMAS["order_lines"])
    table = pa.Table.from_pylist(rows, schema.to_pyarrow())
    return ibis.memtable(table, schema=schema)


def read(lines: Iterable[Line], as_of: datetime = AS_OF) -> purchases.Purchases:
    return purchases.read(order_lines(lines), as_of, "UTC")


def rows_of(bought: purchases.Purchases) -> set[tuple[int, str, int, int]]:
    """Each row as customer, product, day and days ago."""
    return {
        (int(bought.customer_keys[c]), bought.product_ids[p], d, ago)
        for c, p, d, ago in zip(
            bought.customer, bought.product, bought.day.tolist(), bought.days_ago.tolist(), strict=True
        )
    }


def household() -> list[Line]:
    """A shop of 240 customers for a year, who come every 20 days.

    All baskets have milk and bread. The even customers' third, fifth, seventh ... have tea, and their fifth a
    kettle. Each third customer's second basket has a mug. Twenty oddments are bought by hardly anyone.
    """
    chance = random.Random(3)
    lines: list[Line] = []
    for customer in range(1, 241):
        for n, day in enumerate(range(chance.randrange(300), 366, 20)):
            products = ["milk", "bread"]
            products += ["tea"] if customer % 2 == 0 and n >= 2 and n % 2 == 0 else []
            products += ["kettle"] if customer % 2 == 0 and n == 4 else []
            products += ["mug"] if customer % 3 == 0 and n == 1 else []
            products += [f"oddment {chance.randrange(20):02}"] if chance.random() < 0.1 else []
            lines += [(customer, day, f"{customer}-{n}", product) for product in products]
    return lines


@pytest.fixture(scope="module")
def learnt() -> FittedProducts:
    return fit(order_lines(household()), AS_OF, "UTC")


# Purchases

SOME_LINES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 9),
        st.sampled_from("abc").map(str),
        st.sampled_from("pqrs").map(str),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40)
@given(SOME_LINES, st.integers(1, 10), st.integers(0, 3))
def test_known_at_returns_what_a_read_at_that_moment_would_have_returned(
    lines: list[Line], day: int, late: int
) -> None:
    moment = START + timedelta(days=day)
    # One day per order, so that its day does not depend on which of its lines are known.
    lines = [
        (customer, when, f"{customer}-{when}-{order}", product) for customer, when, order, product in lines
    ]
    table = order_lines(lines, received_days_later=late)
    whole = purchases.read(table, AS_OF, "UTC").known_at(moment)
    known = {(c, p, when) for c, when, _, p in lines if when < day and when + late <= day}
    if not known:
        assert rows_of(whole) == set()
        with pytest.raises(PatronError, match=r"no order before 2024-01-\d\d names a product"):
            purchases.read(table, moment, "UTC")
        return
    assert rows_of(whole) == rows_of(purchases.read(table, moment, "UTC"))
    assert {(c, p, d - FIRST_DAY) for c, p, d, _ in rows_of(whole)} == known


VERSIONS = st.lists(st.frozensets(st.sampled_from("pqrs").map(str), max_size=3), min_size=1, max_size=4)
ORDERS = st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 6)), VERSIONS, max_size=6)


@settings(max_examples=40)
@given(
    st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 6)), VERSIONS, max_size=6), st.integers(1, 12)
)
@example({(1, 0): [frozenset("p"), frozenset("q"), frozenset("p")]}, 2)
@example({(1, 0): [frozenset("p"), frozenset()], (2, 1): [frozenset("q")]}, 9)
def test_a_moment_sees_the_version_of_an_order_that_was_known_then(
    orders: dict[tuple[int, int], list[frozenset[str]]], day: int
) -> None:
    """Version i of an order is known i days after the first one; a version without products is cancelled."""
    rows, valid, latest = [], set(), set()
    for (customer, placed), versions in orders.items():
        for i, products in enumerate(versions):
            replaced = placed + i + 1 if i + 1 < len(versions) else None
            for product in sorted(products):
                line = order_lines([(customer, placed, f"{customer}-{placed}", product)]).mutate(
                    received_at=ibis.literal(naive(placed + i), "timestamp(6)"),
                    replaced_at=ibis.null("timestamp(6)")
                    if replaced is None
                    else ibis.literal(naive(replaced), "timestamp(6)"),
                )
                rows.append(line)
                known = (customer, product, FIRST_DAY + placed, day - placed)
                if placed < day and placed + i <= day and (replaced is None or replaced > day):
                    valid.add(known)
                if replaced is None:
                    latest.add((customer, product, FIRST_DAY + placed, 366 - placed))
    if not latest:
        return
    table = ibis.union(*rows, distinct=False) if len(rows) > 1 else rows[0]
    moment = START + timedelta(days=day)
    whole = purchases.read(table, AS_OF, "UTC")
    assert rows_of(whole.known_at(moment)) == valid
    assert rows_of(whole.latest()) == latest
    assert set(whole.latest().product_ids) == {product for _, product, *_ in latest}
    if valid:
        assert rows_of(purchases.read(table, moment, "UTC").latest()) == valid
    first = whole.first_baskets(FIRST_DAY, FIRST_DAY + 20)
    assert {row[:2] for row in rows_of(first)} <= {row[:2] for row in latest}


def naive(day: int) -> datetime:
    return (START + timedelta(days=day)).replace(tzinfo=None)


def test_products_that_are_not_merchandise_are_left_out() -> None:
    lines = [(1, 0, "a", "milk"), (1, 0, "a", "postage"), (2, 1, "b", "postage")]
    result = purchases.read(order_lines(lines), AS_OF, "UTC", never=["postage"])
    assert result.product_ids == ("milk",)
    assert rows_of(result) == {(1, "milk", FIRST_DAY, 366)}


def test_the_first_basket_of_a_time_is_found_for_each_customer() -> None:
    lines = [(1, 0, "a", "p"), (1, 5, "b", "q"), (1, 5, "b", "r"), (1, 6, "c", "p"), (2, 9, "d", "p")]
    result = read(lines).first_baskets(FIRST_DAY + 1, FIRST_DAY + 9)
    assert {(c, p) for c, p, _, _ in rows_of(result)} == {(1, "q"), (1, "r")}


def test_histories_count_baskets_and_days() -> None:
    lines = [(7, 0, "a", "p"), (7, 0, "a", "p"), (7, 10, "b", "p"), (7, 10, "b", "q"), (7, 30, "c", "q")]
    seen = histories(read(lines, START + timedelta(days=40, hours=1)))
    assert seen.bought.times.tolist() == [2, 2]
    assert seen.bought.days_ago.tolist() == [30, 10]
    assert seen.bought.baskets_since.tolist() == [1, 0]
    assert seen.bought.recent_times == pytest.approx(
        [2 ** (-40 / 180) + 2 ** (-30 / 180), 2 ** (-30 / 180) + 2 ** (-10 / 180)]
    )
    assert (seen.customers.baskets[0], seen.customers.items[0]) == (3, 4)
    assert (seen.customers.first_days_ago[0], seen.customers.last_days_ago[0]) == (40, 10)


# Rules

BASKETS = st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=20)


def in_baskets(baskets: list[set[str]]) -> list[Line]:
    return [(1, n, str(n), product) for n, basket in enumerate(baskets) for product in sorted(basket)]


@settings(max_examples=60)
@given(BASKETS, st.integers(1, 3), st.integers(2, 6))
def test_rules_are_those_of_plain_python(baskets: list[set[str]], least: int, largest: int) -> None:
    counted = [basket for basket in baskets if len(basket) <= largest]
    if len(set().union(*counted)) < 2:
        with pytest.raises(PatronError, match="rules need two products"):
            rules.mine(read(in_baskets(baskets)), least, largest)
        return
    expected = {}
    for a in "abcdef":
        for b in "abcdef":
            with_a = sum(a in basket for basket in counted)
            both = sum({a, b} <= basket for basket in counted)
            if a != b and both >= least:
                confidence = Fraction(both, with_a)
                share = Fraction(sum(b in basket for basket in counted), len(counted))
                expected[a, b] = (both, with_a, Fraction(both, len(counted)), confidence, confidence / share)
    result = rules.mine(read(in_baskets(baskets)), least, largest)
    assert result.schema == rules.SCHEMA
    assert result["lift"].to_pylist() == sorted(result["lift"].to_pylist(), reverse=True)
    rows = [tuple(row.values()) for row in result.to_pylist()]
    assert {row[:2] for row in rows} == expected.keys()
    for antecedent, consequent, *numbers in rows:
        assert numbers == pytest.approx([float(x) for x in expected[antecedent, consequent]])


def test_a_giant_basket_does_not_change_the_rules() -> None:
    usual = in_baskets([{"p", "q"}] * 12 + [{"q"}, {"r"}])
    giant = [(2, 50, "all", f"thing {n}") for n in range(20_000)] + [(2, 50, "all", p) for p in "pqr"]
    assert rules.mine(read(usual + giant)) == rules.mine(read(usual))


def test_counting_in_blocks_gives_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bought = read(household())
    whole = rules.mine(bought)
    monkeypatch.setattr("models.products.pairs.BLOCK", 3)
    assert rules.mine(bought) == whole
    assert whole.num_rows > 6


# Links


def test_links_solve_the_ridge_regression_of_each_product_on_the_others() -> None:
    seen = histories(read(household()))
    x = seen.weights.toarray()
    result = assortment.Links()(seen).toarray()
    for product in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), product)
        gram = x[:, others].T @ x[:, others] + assortment.LINK_PENALTY * np.eye(len(others))
        solved = np.linalg.solve(gram, x[:, others].T @ x[:, product])
        assert result[others, product] == pytest.approx(np.maximum(solved, 0), abs=2e-5)
        assert result[product, product] == 0


# The ranking


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 7)
)
def test_the_largest_values_of_a_row_are_those_of_sorting_it(rows: list[list[int]], count: int) -> None:
    values = sp.csr_array(np.array(rows, np.float64))
    expected = np.zeros(values.shape)
    for row, cells in enumerate(rows):
        stored = [column for column, value in enumerate(cells) if value]
        for column in sorted(stored, key=lambda column: (-cells[column], column))[:count]:
            expected[row, column] = cells[column]
    np.testing.assert_array_equal(largest(values, count).toarray(), expected)


def test_a_product_in_every_basket_is_ranked_first_with_that_reason(learnt: FittedProducts) -> None:
    lines = household()
    for customer in (1, 2, 8):
        ranked = learnt.rank([customer], 3).to_pylist()
        assert {row["product_id"] for row in ranked[:2]} == {"milk", "bread"}
        days = [day for c, day, _, p in lines if c == customer and p == "milk" and day < 366]
        ago = (AS_OF.date() - (START + timedelta(days=max(days))).date()).days
        last = {0: "today", 1: "1 day ago"}.get(ago, f"{ago} days ago")
        assert ranked[0]["reason"] == f"bought {len(days)} times, last {last}"
        assert ranked[0]["score"] > 0.8


def test_scores_are_probabilities_of_the_next_basket(learnt: FittedProducts) -> None:
    ranked = learnt.rank(list(range(1, 241)), 30).to_pandas()
    of = ranked.groupby("product_id")["score"]
    assert of.mean()["milk"] > 0.9
    # Every second basket of even customers has tea.
    tea = ranked[(ranked["product_id"] == "tea") & (ranked["customer_key"] % 2 == 0)]
    assert 0.3 < tea["score"].mean() < 0.7
    assert of.mean().filter(like="oddment").max() < 0.05
    assert ranked["score"].between(0, 1).all()


def test_new_products_come_with_what_they_are_bought_with(learnt: FittedProducts) -> None:
    lines = household()
    bought = {(c, p) for c, _, _, p in lines}
    baskets = {c: len({order for who, _, order, _ in lines if who == c}) for c in range(1, 241)}
    orders = {p: {order for _, _, order, q in lines if q == p} for p in ("tea", "kettle")}
    ranked = learnt.rank(list(range(1, 241)), 5, new_only=True).to_pylist()
    assert not {(row["customer_key"], row["product_id"]) for row in ranked} & bought
    first = {row["customer_key"]: row for row in reversed(ranked)}
    due = [c for c in first if c % 2 == 0 and baskets[c] == 4]  # whose next basket has a kettle
    assert len(due) >= 5
    both = len(orders["tea"] & orders["kettle"])
    for customer in due:
        assert first[customer]["product_id"] == "kettle"
        assert first[customer]["score"] > 0.1
        assert first[customer]["reason"] == f"bought with tea in {both} of {len(orders['tea'])} baskets"
    never = [row["score"] for row in ranked if row["product_id"] == "kettle" and row["customer_key"] % 2]
    assert max(never, default=0) < 0.02


def test_a_customer_who_has_everything_is_shown_nothing_new() -> None:
    lines = [
        (customer, day, f"{customer}-{day}", p)
        for customer in range(60)
        for day in range(0, 366, 25)
        for p in ("p", "q")
    ]
    learnt = fit(order_lines(lines), AS_OF, "UTC")
    assert learnt.rank([1], 5, new_only=True).num_rows == 0
    assert learnt.rank([1], 5)["product_id"].to_pylist() == ["p", "q"]


def test_a_customer_without_history_gets_popular_products(learnt: FittedProducts) -> None:
    ranked = learnt.rank([999_999, 1], 3)
    assert ranked["customer_key"].to_pylist() == [999_999] * 3 + [1] * 3
    strange = ranked.to_pylist()[:3]
    assert [row["product_id"] for row in strange] == ["bread", "milk", "tea"]
    assert all(row["reason"].startswith("popular: in ") for row in strange)
    assert strange[0] | {"customer_key": 0} == {
        "customer_key": 0,
        "product_id": "bread",
        "score": 1.0,
        "reason": "popular: in 100.0% of the baskets of the last 90 days",
    }


def test_results_have_the_order_of_the_requested_customers(learnt: FittedProducts) -> None:
    alone = {key: learnt.rank([key], 2).to_pylist() for key in (5, 3, 10**9)}
    request = [5, 10**9, 3, 5]
    assert learnt.rank(request, 2).to_pylist() == [row for key in request for row in alone[key]]
    assert learnt.rank([], 2).num_rows == 0


def test_later_events_and_events_known_later_have_no_effect(learnt: FittedProducts) -> None:
    later = [(customer, 366 + customer, f"late {customer}", "kettle") for customer in range(200)]
    same_moment = order_lines([(1, 0, "now", "mug")]).mutate(
        timestamp=ibis.literal(AS_OF.replace(tzinfo=None), "timestamp(6)"),
        received_at=ibis.literal(AS_OF.replace(tzinfo=None), "timestamp(6)"),
    )
    unheard = order_lines([(2, 300, "unheard", "mug")], received_days_later=90)
    lines = order_lines(household()).union(order_lines(later), same_moment, unheard)
    assert to_files(fit(lines, AS_OF, "UTC")) == to_files(learnt)


def test_the_order_of_rows_changes_nothing(learnt: FittedProducts) -> None:
    lines = household()
    random.Random(1).shuffle(lines)
    assert to_files(fit(order_lines(lines), AS_OF, "UTC")) == to_files(learnt)


def test_training_at_a_cut_uses_nothing_after_it() -> None:
    bought = read(household())
    day = bought.as_of_day - learning.CUT_DAYS
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    parts = learning._at_cut(bought, day, assortment.Links(), np.random.default_rng(0))
    cut = read([line for line in household() if START + timedelta(days=line[1]) < moment], moment)
    seen = histories(cut)
    goods = assortment.assortment(cut, seen, assortment.Links())
    mine = candidates.candidates(np.arange(len(seen.customers.customer_key)), seen, goods, cut.category)
    assert cut.product_ids == bought.product_ids
    possible = {row.tobytes() for row in mine.x}
    learnt_from = [row.tobytes() for part in parts for row in part.x]
    assert len(learnt_from) > 100
    assert set(learnt_from) <= possible


def test_reloaded_files_give_the_same_ranking_and_contain_no_pickle(learnt: FittedProducts) -> None:
    files = to_files(learnt)
    opened = open_products("3", files, digest(files[MANIFEST]))
    keys = [1, 2, 3, 4, 10**9]
    assert opened.rank(keys, 6) == learnt.rank(keys, 6)
    assert opened.rank(keys, 6, new_only=True) == learnt.rank(keys, 6, new_only=True)
    assert to_files(opened) == files
    assert {name.split(".")[1] for name in files} == {"parquet", "json", "lgb"}


@pytest.mark.parametrize("name", ["bought.parquet", "trees.lgb", MANIFEST])
def test_changed_files_are_refused(learnt: FittedProducts, name: str) -> None:
    files = to_files(learnt)
    known = digest(files[MANIFEST])
    with pytest.raises(PatronError, match=f"{name} is missing or not as it was"):
        open_products("3", files | {name: files[name] + b" "}, known)


def test_files_of_another_format_are_refused(learnt: FittedProducts) -> None:
    files = to_files(learnt)
    manifest = json.dumps(json.loads(files[MANIFEST]) | {"columns": ["times"]}).encode()
    with pytest.raises(PatronError, match="has another format; train it again"):
        open_products("3", files | {MANIFEST: manifest}, digest(manifest))


def test_a_ranking_cannot_be_opened_as_a_model_that_scores_customers(learnt: FittedProducts) -> None:
    files = to_files(learnt)
    with pytest.raises(PatronError, match="version 3 of products is not a model that scores customers"):
        open_bundle("3", files, digest(files[MANIFEST]))


def test_a_customer_of_giant_baskets_has_a_bounded_number_of_candidates() -> None:
    lines = household() + [(500, day, f"all {day}", f"thing {n}") for day in (10, 200) for n in range(3000)]
    bought = read(lines)
    seen = histories(bought)
    goods = assortment.assortment(bought, seen, assortment.Links())
    who = np.searchsorted(seen.customers.customer_key, [500])
    result = candidates.candidates(who, seen, goods, bought.category)
    assert candidates.OWN <= len(result.product) <= candidates.OWN + candidates.RELATED + candidates.POPULAR


def test_simple_rankings_have_the_known_order() -> None:
    lines = [(1, 340, "a", "p"), (1, 350, "b", "p"), (1, 350, "b", "q"), (1, 341, "c", "r")]
    lines += [(n, 360, str(n), product) for n in range(2, 9) for product in "rs"]
    bought = read(lines)
    seen = histories(bought)
    goods = assortment.assortment(bought, seen, assortment.Links())
    one = np.array([0])
    ranked = [bought.product_ids[i] for i in np.argsort(-baselines.bought_before(one, seen, goods)[0])]
    assert ranked == ["p", "r", "q", "s"]
    assert baselines.most_popular(one, goods)[0] == pytest.approx([0.2, 0.1, 0.8, 0.7])


# Refusals


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no order before 2025-01-01 names a product"),
        ([(1, 0, "a", "milk"), (2, 3, "b", "milk")], "have one product, so there is nothing to rank"),
        (
            [(1, 330, "a", "milk"), (1, 340, "b", "tea")],
            "orders go back to 2024-11-26, and training needs 120 days",
        ),
        ([(1, 0, "a", "milk"), (1, 340, "b", "tea")], "1 customers came back"),
    ],
)
def test_shops_with_too_little_data_are_refused_with_the_reason(lines: list[Line], words: str) -> None:
    with pytest.raises(PatronError, match=words):
        fit(order_lines(lines), AS_OF, "UTC")


def test_less_than_one_product_is_refused(learnt: FittedProducts) -> None:
    with pytest.raises(PatronError, match="request at least 1"):
        learnt.rank([1], 0)
