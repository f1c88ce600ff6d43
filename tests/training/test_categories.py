"""Propensity per category: rows and labels against a plain implementation, training, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from events import lake
from events.queries.customer_rows import of_customers
from features.offline import populations
from models.categories import model as propensity
from models.categories.history import UNITS, AsOf, CategoryHistory, habit, history, ordered_within
from models.categories.published import open_files, to_files
from models.categories.reasons import reasons
from models.measures import metrics
from models.registry.bundle import MANIFEST, FittedModel, digest
from training.categories.backtest import (
    CategoryBacktest,
    auc_within,
    backtest,
    evaluation_of,
    known_outcomes,
    learn,
    read_baskets,
)

ZONE = "Europe/Berlin"
NOW = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
AS_OF = AsOf(datetime(2024, 4, 30, 22, tzinfo=UTC), day_of(datetime(2024, 4, 30, 22, tzinfo=UTC), ZONE))


@pytest.fixture(scope="module")
def baskets(shop: Home) -> pd.DataFrame:
    return read_baskets(lake.read(shop, lake.connect()).order_lines)


@pytest.fixture(scope="module")
def origins(shop: Home) -> list[AsOf]:
    return [AsOf(moment, day_of(moment, ZONE)) for moment in populations.origins(shop)]


@pytest.fixture(scope="module")
def exam(baskets: pd.DataFrame, origins: list[AsOf]) -> CategoryBacktest:
    return backtest(baskets, origins, AsOf(NOW, day_of(NOW, ZONE)))


@pytest.fixture(scope="module")
def learnt(baskets: pd.DataFrame, origins: list[AsOf], exam: CategoryBacktest) -> FittedModel:
    return learn(baskets, known_outcomes(origins, exam.test))


def rows(stored: pd.DataFrame, request: AsOf) -> pd.DataFrame:
    return history(stored, request).rows()


def line(customer: int, days_ago: int, order: str, category: str | None, amount: float) -> dict[str, object]:
    moment = pd.Timestamp(AS_OF.as_of).tz_localize(None) - timedelta(days=days_ago) + timedelta(hours=1)
    return {
        "customer_key": customer, "timestamp": moment, "received_at": moment, "day": AS_OF.day - days_ago,
        "order_id": order, "category": category, "lines": 1.0, "amount": amount,
    }  # fmt: skip


HAND = pd.DataFrame(
    [
        line(1, 400, "a", "tea", 10.0),
        line(1, 50, "b", "tea", 6.0), line(1, 50, "b", "tea", 4.0), line(1, 50, "b", "cake", 5.0),
        line(1, 20, "c", None, 7.0),
        line(2, 10, "d", "cake", 8.0),
        line(1, -1, "e", "cake", 9.0), line(2, -30, "f", "tea", 1.0), line(3, -2, "g", "tea", 1.0),
    ]
)  # fmt: skip


def test_a_row_has_the_customers_orders_of_the_category_and_overall() -> None:
    result = rows(HAND, AS_OF)
    assert list(result.columns) == ["customer_key", *UNITS]
    by_pair = {(row["customer_key"], row["category"]): row for row in result.to_dict("records")}
    assert list(by_pair) == [(1, "cake"), (1, "tea"), (2, "cake"), (2, "tea")]  # 3 had not ordered
    weights = {days: 0.5 ** (days / 180) for days in (400, 50, 20)}
    fading = sum(weights.values())
    tea = by_pair[1, "tea"]
    assert tea.pop("category_popularity_year_ago") == tea["category_popularity_90d"]  # too few orders then
    assert tea == pytest.approx({
        "customer_key": 1, "category": "tea", "orders_in_category": 2, "orders_in_category_365d": 1,
        "orders_in_category_90d": 1, "days_since_category": 50, "spend_share_in_category": 1000 * 20 / 25,
        "category_popularity_90d": 1000 / 3, "category_popularity_30d": 0,
        "share_of_orders_in_category": 1000 * (2 + 1 / 3) / 4,
        "share_of_orders_fading": 1000 * (weights[400] + weights[50] + 1 / 3) / (fading + 1),
        "share_of_lines_in_category": 1000 * (3 + 3 * 3 / 5) / (4 + 3),
        "orders_total": 3, "orders_365d": 2, "orders_90d": 2, "orders_fading": fading,
        "recency_days": 20, "tenure_days": 400, "distinct_categories": 2,
    })  # fmt: skip
    never = by_pair[2, "tea"]
    assert (never["orders_in_category"], never["spend_share_in_category"]) == (0, 0)
    assert np.isnan(never["days_since_category"])


def test_a_moment_counts_the_version_of_an_order_that_was_known_then() -> None:
    moment = pd.Timestamp(AS_OF.as_of).tz_localize(None)

    def version(row: dict[str, object], known: int, replaced: int | None) -> dict[str, object]:
        """The row, valid from so many days after AS_OF until so many."""
        until = pd.NaT if replaced is None else moment + timedelta(days=replaced)
        return row | {"received_at": moment + timedelta(days=known), "replaced_at": until}

    later = replace(AS_OF, as_of=AS_OF.as_of + timedelta(days=6), day=AS_OF.day + 6)
    versions = pd.DataFrame(
        [
            version(line(1, 20, "a", "tea", 10.0), -20, 5), version(line(1, 20, "a", "cake", 4.0), 5, None),
            version(line(2, 10, "b", "cake", 8.0), -10, None),
            version(line(2, 8, "c", "tea", 8.0), -8, 3),  # cancelled
            version(line(2, -2, "d", "tea", 1.0), 2, 4), version(line(2, -2, "d", "cake", 1.0), 4, None),
        ]
    )  # fmt: skip
    before = pd.DataFrame(
        [line(1, 20, "a", "tea", 10.0), line(2, 10, "b", "cake", 8.0), line(2, 8, "c", "tea", 8.0)]
    )
    after = pd.DataFrame(
        [line(1, 20, "a", "cake", 4.0), line(2, 10, "b", "cake", 8.0), line(2, -2, "d", "cake", 1.0)]
    )
    pd.testing.assert_frame_equal(rows(versions, AS_OF), rows(before, AS_OF))
    pd.testing.assert_frame_equal(rows(versions, later), rows(after, later))
    pairs = rows(versions, AS_OF)
    assert ordered_within(versions, AS_OF, pairs, 30).tolist() == [0, 0, 1, 0]  # in their latest versions


def test_last_years_season_is_that_of_the_coming_days() -> None:
    request = [line(c, days, f"{c}-{days}", "tea" if days == 340 else "cake", 1.0)
             for c in range(30) for days in (340, 360, 370, 330)]  # fmt: skip
    table = history(pd.DataFrame(request), AS_OF).categories.set_index("category")
    assert table["category_popularity_year_ago"].to_dict() == {"cake": 0.5, "tea": 0.5}


def test_a_label_is_an_order_of_the_category_within_the_horizon() -> None:
    result = rows(HAND, AS_OF)
    assert ordered_within(HAND, AS_OF, result, 30).tolist() == [1, 0, 0, 0]  # tea comes on the 31st day
    assert ordered_within(HAND, AS_OF, result, 31).tolist() == [1, 0, 0, 1]


def test_rows_of_some_customers_and_categories_equal_those_among_all(baskets: pd.DataFrame) -> None:
    known = history(baskets, AS_OF)
    whole = known.rows()
    chosen, names = known.keys[5::50].tolist(), sorted(whole["category"].unique())[2:4]
    some = known.rows([*chosen, 10**9], names)
    expected = whole[whole["customer_key"].isin(chosen) & whole["category"].isin(names)]
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))


def test_customers_who_never_ordered_have_no_rows() -> None:
    known = history(HAND, AS_OF)
    first, unknown = int(known.keys[0]), int(known.keys[-1]) + 1
    assert known.has_ordered([unknown, first, 0]).tolist() == [False, True, False]
    some = known.rows([unknown, first, 0, first])
    assert len(some) == len(known.categories)
    assert set(some["customer_key"]) == {first}
    assert set(of_customers(known.pairs, np.array([0, first]))["customer_key"]) == {first}


def test_events_not_known_yet_change_no_row(baskets: pd.DataFrame) -> None:
    moment = pd.Timestamp(AS_OF.as_of).tz_localize(None)
    past = baskets[(baskets["timestamp"] < moment) & (baskets["received_at"] <= moment)]
    late = HAND.iloc[[0]].assign(received_at=moment + timedelta(seconds=1))
    assert len(past) < len(baskets)
    pd.testing.assert_frame_equal(rows(baskets, AS_OF), rows(past, AS_OF))
    pd.testing.assert_frame_equal(rows(pd.concat([HAND, late]), AS_OF), rows(HAND, AS_OF))
    shuffled = baskets.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(rows(shuffled, AS_OF), rows(baskets, AS_OF))


def test_baskets_hold_the_lines_of_each_category_of_an_order(shop: Home, baskets: pd.DataFrame) -> None:
    lines = lake.read(shop, lake.connect()).order_lines.to_pandas()
    assert baskets["lines"].sum() == len(lines) > len(baskets)
    assert baskets["amount"].sum() == pytest.approx(float(lines["amount"].sum()))
    by = ["customer_key", "order_id", "category"]
    assert len(baskets) == len(lines.drop_duplicates(by)) == len(baskets.drop_duplicates(by))


def test_the_model_ranks_customers_of_a_category_better_than_habit(exam: CategoryBacktest) -> None:
    shown = evaluation_of(exam.frame).metrics
    assert shown["auc_within_category_over_habit"] > 0
    assert shown["auc_within_customer"] > 0.75
    assert shown["auc_within_customer_over_habit_high"] > 0
    assert 0.5 < shown["calibration_slope"] < 2
    assert exam.frame["score"].between(0, 1).all()
    assert shown["test_customers"] * 8 == len(exam.frame)


def test_measures_within_groups_are_those_of_each_group(exam: CategoryBacktest) -> None:
    frame = exam.frame
    result = auc_within(frame["category"], frame["label"], frame["score"].to_numpy())
    for category, part in frame.groupby("category"):
        assert result[category] == pytest.approx(
            metrics.auc(part["label"].to_numpy(), part["score"].to_numpy())
        )
    one = frame["customer_key"].where(frame["label"] == 0, 0)
    assert len(auc_within(one, frame["label"], frame["score"].to_numpy())) == 0  # no group has both
    shown = evaluation_of(frame)
    assert [row.of for row in shown.by_slice[:8]] == sorted(frame["category"].unique())


def test_customers_without_an_order_in_a_year_have_a_baseline_score() -> None:
    later = AsOf(AS_OF.as_of + timedelta(days=700), AS_OF.day + 700)
    frame = rows(HAND.iloc[:6], later)
    assert frame["orders_365d"].eq(0).all()
    own = habit(frame[frame["customer_key"] == 1])
    assert 0 < own.min() < own.max()


def test_a_customers_true_taste_scores_higher(exam: CategoryBacktest, shop: Home) -> None:
    """The simulation's truth, which no model sees: the category that has most of a customer's taste."""
    truth = pd.read_parquet(lake.current(shop).folder / "truth.parquet").set_index("customer_key")
    favourite = exam.frame["customer_key"].map(truth["favourite_category"]) == exam.frame["category"]
    score = exam.frame["score"]
    assert score[favourite].mean() > 1.5 * score[~favourite].mean()


def test_a_reloaded_version_is_identical(
    learnt: FittedModel, baskets: pd.DataFrame, exam: CategoryBacktest
) -> None:
    known = history(baskets, exam.test)
    files = to_files(learnt, known, {"as_of": "2024-06-01T00:00:00+00:00", "horizon_days": 30})
    opened = open_files("1", files, digest(files[MANIFEST]))
    assert np.array_equal(propensity.score(opened.model, opened.history.rows()), exam.frame["score"])
    manifest = json.loads(files[MANIFEST])
    assert [column["name"] for column in manifest["features"]] == list(UNITS)
    assert len(manifest["features"][0]["vocabulary"]) == 8
    for name in files.keys() - {MANIFEST}:
        with pytest.raises(PatronError, match=f"{name} is missing or not as it was published"):
            open_files("1", files | {name: files[name] + b" "}, digest(files[MANIFEST]))


def test_a_version_of_other_columns_is_refused(learnt: FittedModel, baskets: pd.DataFrame) -> None:
    columns = [column | {"definition": "of old"} for column in learnt.manifest["features"]]
    old = replace(learnt, manifest={**learnt.manifest, "features": columns})
    files = to_files(old, history(baskets, AS_OF), {})
    with pytest.raises(PatronError, match="has another format; run `patron train category_propensity`"):
        open_files("1", files, digest(files[MANIFEST]))


def test_training_on_the_same_orders_is_reproducible(
    learnt: FittedModel, baskets: pd.DataFrame, origins: list[AsOf], exam: CategoryBacktest
) -> None:
    again = learn(baskets, known_outcomes(origins, exam.test))
    assert again.fitted.to_files() == learnt.fitted.to_files()


def test_a_category_new_since_training_gets_a_probability(learnt: FittedModel, baskets: pd.DataFrame) -> None:
    known = history(baskets, AS_OF)
    tea = known.categories["category"].iloc[0]
    renamed = CategoryHistory(
        known.customers,
        known.pairs.replace({"category": {tea: "novelties"}}),
        known.categories.replace({"category": {tea: "novelties"}}),
    )
    scores = propensity.score(learnt, renamed.rows(categories=["novelties"]))
    assert np.isfinite(scores).all()
    assert ((scores > 0) & (scores < 1)).all()
    assert len(np.unique(scores)) > 10  # by what customers did


def test_reasons_describe_the_orders_of_a_category() -> None:
    assert reasons(rows(HAND, AS_OF)) == [
        "in 1 of 3 orders, last 50 days ago",
        "in 2 of 3 orders, last 50 days ago",
        "in 1 of 1 order, last 10 days ago",
        "not ordered before; in 33.3% of all orders of the last 90 days",
    ]


@pytest.mark.parametrize(
    ("categories", "words"),
    [("none", "orders name 0 categories"), ("many", r"orders name \d+ categories, and it takes 2 to 60")],
)
def test_a_shop_without_categories_or_with_too_many_is_refused(
    baskets: pd.DataFrame, categories: str, words: str
) -> None:
    made = baskets.assign(category=None if categories == "none" else baskets["order_id"].astype(str))
    with pytest.raises(PatronError, match=words):
        backtest(made, [AS_OF], AsOf(NOW, day_of(NOW, ZONE)))


def test_too_little_history_or_too_few_outcomes_are_refused(baskets: pd.DataFrame) -> None:
    now = AsOf(NOW, day_of(NOW, ZONE))
    for moments in ([], [AS_OF]):
        with pytest.raises(PatronError, match="import more history"):
            backtest(baskets, moments, now)
    earlier = AS_OF.as_of - timedelta(days=60)
    with pytest.raises(PatronError, match="to learn from, and it takes 200"):
        backtest(baskets[baskets["customer_key"] < 40], [AsOf(earlier, day_of(earlier, ZONE)), AS_OF], now)
    months = [AS_OF.as_of - timedelta(days=days) for days in (180, 120, 60, 0)]
    closed = baskets[baskets["day"] < AS_OF.day]
    with pytest.raises(PatronError, match="0 orders of a category are there to test on, and it takes 50"):
        backtest(closed, [AsOf(month, day_of(month, ZONE)) for month in months], now)
