"""Propensity per category: its rows and labels by a plain reading, what it learns, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features import lake, populations
from features.calendar import day_of
from features.errors import PatronError
from features.home import Home
from models import category_propensity as propensity
from models.bundle import MANIFEST, digest, open_bundle, pack
from models.category_propensity import UNITS, Asked, bought_within, rows
from training.category_propensity import CategoryExam, examine, order_lines

ZONE = "Europe/Berlin"
NOW = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
AS_OF = Asked(datetime(2024, 4, 30, 22, tzinfo=UTC), day_of(datetime(2024, 4, 30, 22, tzinfo=UTC), ZONE))


@pytest.fixture(scope="module")
def lines(shop: Home) -> pd.DataFrame:
    return order_lines(lake.read(shop, lake.connect()))


@pytest.fixture(scope="module")
def exam(shop: Home, lines: pd.DataFrame) -> CategoryExam:
    origins = [Asked(moment, day_of(moment, ZONE)) for moment in populations.origins(shop)]
    return examine(lines, origins[-14:], Asked(NOW, day_of(NOW, ZONE)))


def line(customer: int, days_ago: int, order: str, category: str | None, amount: float) -> dict[str, object]:
    moment = pd.Timestamp(AS_OF.as_of).tz_localize(None) - timedelta(days=days_ago) + timedelta(hours=1)
    return {
        "customer_key": customer, "timestamp": moment, "received_at": moment, "day": AS_OF.day - days_ago,
        "order_id": order, "category": category, "amount": amount,
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


def test_a_row_says_what_a_customer_did_in_a_category_and_at_all() -> None:
    found = rows(HAND, AS_OF)
    assert list(found.columns) == ["customer_key", *UNITS]
    by_pair = {(row["customer_key"], row["category"]): row for row in found.to_dict("records")}
    assert list(by_pair) == [(1, "cake"), (1, "tea"), (2, "cake"), (2, "tea")]  # 3 had not ordered
    assert by_pair[1, "tea"] == {
        "customer_key": 1, "category": "tea", "orders_in_category": 2, "orders_in_category_365d": 1,
        "orders_in_category_90d": 1, "days_since_category": 50, "spend_share_in_category": 20 / 25,
        "category_popularity_90d": 1 / 3, "share_of_orders_in_category": (2 + 1 / 3) / 4,
        "orders_total": 3, "orders_365d": 2, "orders_90d": 2,
        "recency_days": 20, "tenure_days": 400, "distinct_categories": 2,
    }  # fmt: skip
    never = by_pair[2, "tea"]
    assert (never["orders_in_category"], never["spend_share_in_category"]) == (0, 0)
    assert np.isnan(never["days_since_category"])


def test_a_label_is_an_order_of_the_category_within_the_horizon() -> None:
    found = rows(HAND, AS_OF)
    assert bought_within(HAND, AS_OF, found, 30).tolist() == [1, 0, 0, 0]  # tea comes on the 31st day
    assert bought_within(HAND, AS_OF, found, 31).tolist() == [1, 0, 0, 1]


def test_what_could_not_be_known_changes_no_row(lines: pd.DataFrame) -> None:
    moment = pd.Timestamp(AS_OF.as_of).tz_localize(None)
    past = lines[(lines["timestamp"] < moment) & (lines["received_at"] <= moment)]
    late = HAND.iloc[[0]].assign(received_at=moment + timedelta(seconds=1))
    assert len(past) < len(lines)
    pd.testing.assert_frame_equal(rows(lines, AS_OF), rows(past, AS_OF))
    pd.testing.assert_frame_equal(rows(pd.concat([HAND, late]), AS_OF), rows(HAND, AS_OF))
    shuffled = lines.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(rows(shuffled, AS_OF), rows(lines, AS_OF))


def test_it_tells_better_than_habit_who_orders_of_a_category(exam: CategoryExam) -> None:
    shown = exam.measures
    assert shown["auc"] > 0.75
    assert shown["auc_within_customer"] > 0.6
    assert 0.5 < shown["calibration_slope"] < 2
    assert exam.frame["score"].between(0, 1).all()
    assert shown["rows"] == len(exam.frame) == 8 * exam.frame["customer_key"].nunique()


def test_a_customers_true_taste_scores_higher(exam: CategoryExam, shop: Home) -> None:
    """The simulation's truth, which no model sees: the category that has most of a customer's taste."""
    truth = pd.read_parquet(lake.current(shop).folder / "truth.parquet").set_index("customer_key")
    favourite = exam.frame["customer_key"].map(truth["favourite_category"]) == exam.frame["category"]
    score = exam.frame["score"]
    assert score[favourite].mean() > 1.5 * score[~favourite].mean()


def test_it_is_written_and_opened_without_a_change(exam: CategoryExam) -> None:
    files = pack(exam.model.manifest, exam.model.fitted, {})
    opened = open_bundle("1", files, digest(files[MANIFEST]))
    assert np.array_equal(propensity.score(opened, exam.frame), propensity.score(exam.model, exam.frame))
    manifest = json.loads(files[MANIFEST])
    assert [column["name"] for column in manifest["features"]] == list(UNITS)
    assert len(manifest["features"][0]["vocabulary"]) == 8


def test_the_same_rows_teach_the_same(exam: CategoryExam) -> None:
    once, again = (propensity.fit(exam.frame.drop(columns="score")) for _ in range(2))
    assert np.array_equal(propensity.score(once, exam.frame), propensity.score(again, exam.frame))


@pytest.mark.parametrize(
    ("categories", "words"),
    [("none", "orders name 0 categories"), ("many", r"orders name \d+ categories, and it takes 2 to 60")],
)
def test_a_shop_without_categories_or_with_too_many_is_refused(
    lines: pd.DataFrame, categories: str, words: str
) -> None:
    made = lines.assign(category=None if categories == "none" else lines["order_id"])
    with pytest.raises(PatronError, match=words):
        examine(made, [AS_OF], Asked(NOW, day_of(NOW, ZONE)))


def test_too_little_history_or_too_few_outcomes_are_refused(lines: pd.DataFrame) -> None:
    now = Asked(NOW, day_of(NOW, ZONE))
    with pytest.raises(PatronError, match="import more history"):
        examine(lines, [AS_OF], now)
    earlier = AS_OF.as_of - timedelta(days=60)
    with pytest.raises(PatronError, match="and it takes 200"):
        examine(lines[lines["customer_key"] < 40], [Asked(earlier, day_of(earlier, ZONE)), AS_OF], now)
