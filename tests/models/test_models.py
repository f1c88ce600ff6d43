"""Contract tests of every model: its labels, its estimator, and its bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend

from core.calendar import day_of, midnight
from core.errors import PatronError
from core.home import Home
from events import lake
from events.schema import SCHEMAS, Events
from features.groups import FEATURES
from features.offline import populations
from models.measures.reference import describe
from models.questions import MODELS, every, find
from models.questions.labels import (
    lapsed_within,
    net_revenue_within,
    order_kept_within,
    ordered_within,
    unsubscribed_within,
)
from models.registry.bundle import FORMAT, MANIFEST, FittedModel, digest, open_bundle, pack
from models.registry.encoding import SMALLEST_CATEGORY, Column, matrix, vocabulary
from models.spec import CustomerModel, Gate, Label
from training.customers.backtest import fit
from training.customers.dataset import Dataset

ZONE = "Europe/Berlin"
every_model = pytest.mark.parametrize("model", every().values(), ids=every())


# What a model says of itself


@every_model
def test_a_model_reads_known_features_each_once(model: CustomerModel) -> None:
    names = [feature.name for feature in model.features]
    assert len(set(names)) == len(names)
    conditions = [condition.feature for condition in model.eligible]
    assert all(FEATURES[feature.name] is feature for feature in [*model.features, *conditions])


@every_model
def test_a_model_has_a_question_and_a_meaning(model: CustomerModel) -> None:
    assert every()[model.name] is model
    assert find(model.name) is model
    assert model.question.endswith("?")
    text = model.meaning.format(days=model.horizon_days)
    assert f"{model.horizon_days} days" in text
    assert "{" not in text
    assert model.kind in {"probability", "money"}
    assert model.eligible
    assert all(condition.otherwise for condition in model.eligible)
    assert list(model.shorter_horizons) == sorted(model.shorter_horizons, reverse=True)
    assert all(shorter < model.horizon for shorter in model.shorter_horizons)


def test_the_error_for_an_unknown_model_lists_the_models() -> None:
    with pytest.raises(PatronError, match=r"no model 'chrun'; there are churn, propensity, clv, leads, subs"):
        find("chrun")


def test_a_failed_gate_names_the_measure_the_bound_and_the_reason() -> None:
    gate = Gate("auc", "it must tell customers apart", at_least=0.6, at_most=0.9)
    assert gate.refusal({"auc": 0.6}) is None
    assert gate.refusal({"auc": 0.9}) is None
    assert gate.refusal({"auc": 0.5}) == "auc is 0.5 and must be at least 0.6: it must tell customers apart"
    assert gate.refusal({"auc": 0.95}) == "auc is 0.95 and must be at most 0.9: it must tell customers apart"
    assert gate.refusal({"auc": float("nan")}) is not None
    assert Gate("auc", "why", at_most=1.0).refusal({"auc": float("nan")}) is not None


# Labels

Line = tuple[int, datetime, float]  # customer, moment, amount


def events_of(lines: Iterable[Line], refunds: Iterable[Line] = ()) -> tuple[Backend, Events]:
    """Hand-made orders and refunds as tables of the lake."""
    backend = lake.connect()
    tables = {}
    for name, rows in {"order_lines": lines, "refunds": refunds, "traits": (), "activities": ()}.items():
        made = [
            {
                "customer_key": key, "timestamp": moment.replace(tzinfo=None),
                "received_at": moment.replace(tzinfo=None), "day": day_of(moment, ZONE),
                "order_id": f"order {i}", "product_id": "p", "category": None, "quantity": 1,
                "amount": amount, "discount": 0.0, "matched": True,
            }
            for i, (key, moment, amount) in enumerate(rows)
        ]  # fmt: skip
        columns = SCHEMAS[name]
        kinds = {
            "customer_key": pa.int64(),
            "timestamp": pa.timestamp("us"),
            "day": pa.int32(),
            "hour": pa.int32(),
        }
        kinds |= {"received_at": pa.timestamp("us"), "amount": pa.float64(), "discount": pa.float64()}
        kinds |= {"quantity": pa.int64(), "matched": pa.bool_()}
        data = {c: pa.array([row.get(c) for row in made], kinds.get(c, pa.string())) for c in columns}
        tables[name] = backend.create_table(name, pa.table(data)).cast(columns)
    return backend, Events(**tables)


def population_of(backend: Backend, *pairs: tuple[int, datetime]) -> Any:
    keys, moments = zip(*pairs, strict=True)
    naive = pd.Series([moment.replace(tzinfo=None) for moment in moments])
    return populations.population_table(
        backend, pd.DataFrame({"customer_key": keys, "as_of": naive.astype("datetime64[us]")}), ZONE
    )


def labels(
    label: Label,
    days: int,
    pairs: list[tuple[int, datetime]],
    lines: Iterable[Line],
    refunds: Iterable[Line] = (),
) -> list[float]:
    """The labels of (customer, as_of) pairs, in their order."""
    backend, events = events_of(lines, refunds)
    actual = label(events, population_of(backend, *pairs), days).to_pandas()
    assert len(actual) == len(pairs)
    by_pair = {
        (key, moment.tz_localize("UTC").to_pydatetime()): value
        for key, moment, value in zip(actual.customer_key, actual.as_of, actual.label, strict=True)
    }
    return [by_pair[pair] for pair in pairs]


AS_OF = datetime(2024, 3, 20, 23, 0, tzinfo=UTC)  # midnight of March 21st in Berlin, before the clock change
SECOND = timedelta(seconds=1)


def test_events_at_as_of_count_for_the_label_and_earlier_ones_do_not() -> None:
    for moment, label in ((AS_OF - timedelta(microseconds=1), 0), (AS_OF, 1), (AS_OF + SECOND, 1)):
        assert labels(ordered_within, 30, [(1, AS_OF)], [(1, moment, 5.0)]) == [label]


def test_the_horizon_ends_at_the_shops_midnight_also_across_a_change_of_the_clock() -> None:
    end = midnight(day_of(AS_OF, ZONE) + 30, ZONE)
    assert end == datetime(2024, 4, 19, 22, 0, tzinfo=UTC)  # 30 days and an hour less, in summer time
    for moment, label in ((end - SECOND, 1), (end, 0)):
        assert labels(ordered_within, 30, [(1, AS_OF)], [(1, moment, 5.0)]) == [label]
        assert labels(lapsed_within, 30, [(1, AS_OF)], [(1, moment, 5.0)]) == [1 - label]
        assert labels(net_revenue_within, 30, [(1, AS_OF)], [(1, moment, 5.0)]) == [5 * label]


def test_an_as_of_within_a_day_counts_that_day_as_the_first_of_the_horizon() -> None:
    noon = AS_OF + timedelta(hours=12)
    end = midnight(day_of(noon, ZONE) + 1, ZONE)
    lines = [(1, noon - SECOND, 1.0), (2, noon, 1.0), (3, end - SECOND, 1.0), (4, end, 1.0)]
    pairs = [(key, noon) for key in (1, 2, 3, 4)]
    assert labels(ordered_within, 1, pairs, lines) == [0, 1, 1, 0]


def test_net_revenue_is_paid_less_refunded_and_at_least_0() -> None:
    day = timedelta(days=1)
    lines = [
        (1, AS_OF + day, 30.0),
        (1, AS_OF + 2 * day, 12.5),
        (2, AS_OF + day, 10.0),
        (3, AS_OF - day, 99.0),
    ]
    refunds = [(1, AS_OF + 3 * day, 12.5), (2, AS_OF + 2 * day, 25.0), (3, AS_OF + day, 99.0)]
    refunds += [(1, AS_OF - day, 7.0), (1, AS_OF + 40 * day, 30.0)]
    pairs = [(key, AS_OF) for key in (1, 2, 3, 4)]
    assert labels(net_revenue_within, 30, pairs, lines, refunds) == [30, 0, 0, 0]
    assert labels(order_kept_within, 30, pairs, lines, refunds) == [1, 0, 0, 0]


def test_labels_are_those_of_a_plain_loop_over_the_events() -> None:
    rng = np.random.default_rng(0)

    def some(count: int) -> list[Line]:
        seconds = rng.integers(0, 200 * 86_400, count)
        return [
            (int(key), datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=int(at)), float(cents) / 100)
            for key, at, cents in zip(
                rng.integers(1, 60, count), seconds, rng.integers(1, 9_999, count), strict=True
            )
        ]

    lines, refunds = some(300), some(60)
    moments = [AS_OF, AS_OF + timedelta(hours=13, minutes=7), AS_OF + timedelta(days=45)]
    pairs = [(key, moment) for moment in moments for key in range(1, 66)]

    def loop(rows: list[Line], pair: tuple[int, datetime]) -> list[float]:
        key, as_of = pair
        return [
            amount
            for customer, moment, amount in rows
            if customer == key and moment >= as_of and day_of(moment, ZONE) < day_of(as_of, ZONE) + 40
        ]

    bought = [float(bool(loop(lines, pair))) for pair in pairs]
    assert 0 < sum(bought) < len(bought)
    assert labels(ordered_within, 40, pairs, lines) == bought
    assert labels(lapsed_within, 40, pairs, lines) == [1 - value for value in bought]
    net = [max(0.0, sum(loop(lines, pair)) - sum(loop(refunds, pair))) for pair in pairs]
    assert 0 in net
    assert labels(net_revenue_within, 40, pairs, lines, refunds) == pytest.approx(net, abs=1e-9)


@every_model
def test_a_label_uses_only_events_within_its_horizon(model: CustomerModel, shop: Home) -> None:
    backend = lake.connect()
    events, zone = lake.read(shop, backend), shop.shop().time_zone
    as_of, days = datetime(2023, 6, 1, 10, 20, tzinfo=UTC), 30
    end = midnight(day_of(as_of, zone) + days, zone)
    population = populations.everyone(events, as_of, zone)

    def label_of(events: Events) -> pd.DataFrame:
        return model.label(events, population, days).to_pandas().sort_values("customer_key")

    naive_as_of, naive_end = as_of.replace(tzinfo=None), end.replace(tzinfo=None)
    # Whether a subscription is active then, what led to it says too.
    before = model.label is unsubscribed_within
    within = {
        name: table.filter((table.timestamp >= naive_as_of) | before, table.timestamp < naive_end)
        for name, table in events.items()
    }
    all_of_it, inside = label_of(events), label_of(Events(**within))
    assert len(all_of_it) == population.count().to_pandas() > 100
    assert 0 < (all_of_it.label > 0).sum() < len(all_of_it)
    pd.testing.assert_frame_equal(all_of_it.reset_index(drop=True), inside.reset_index(drop=True))
    nothing = {name: table.filter(table.timestamp < naive_as_of) for name, table in events.items()}
    assert before or label_of(Events(**nothing)).label.nunique() == 1


# Estimators and the bundles they become

CUSTOMERS, ROWS = 400, 1200
CATEGORIES = ["AT", "DE", "FR", "rare"]


def dataset(model: CustomerModel, seed: int = 0) -> Dataset:
    """Rows of made-up customers whose label depends on their features."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "customer_key": np.sort(rng.integers(1, CUSTOMERS + 1, ROWS)),
        "as_of": pd.Timestamp("2024-01-01", tz="UTC"),
    }
    for feature in dict.fromkeys([*model.features, *(c.feature for c in model.eligible)]):
        if feature.dtype == "string":
            values: Any = rng.choice(np.array(CATEGORIES), ROWS, p=[0.3, 0.5, 0.195, 0.005])
        elif feature.dtype == "boolean":
            values = rng.random(ROWS) < 0.5
        elif feature.dtype == "int64":
            values = rng.poisson(4, ROWS)
        else:
            values = rng.lognormal(2, 1, ROWS)
        frame = pd.Series(values, dtype=object)
        columns[feature.name] = frame.mask(rng.random(ROWS) < 0.1, None)
    frame = pd.DataFrame(columns)
    pull = pd.to_numeric(frame[model.features[0].name]).fillna(0).to_numpy(np.float64)
    bought = rng.random(ROWS) < 1 / (1 + np.exp(2 - pull / 2))
    frame["label"] = bought * (rng.lognormal(3, 1, ROWS) if model.kind == "money" else 1.0)
    hashes = {feature.name: feature.definition() for feature in model.features}
    return Dataset(model, 30, frame, datetime(2024, 3, 1, tzinfo=UTC), "UTC", definitions=hashes)


def values_of(data: Dataset) -> dict[str, list[Any]]:
    return {str(name): data.frame[name].tolist() for name in data.frame.columns if name != "label"}


def packed(model: CustomerModel, fitted: FittedModel, data: Dataset) -> dict[str, bytes]:
    scores = fitted.score(values_of(data))
    manifest = dict(fitted.manifest) | {
        "question": model.question,
        "meaning": model.meaning.format(days=30),
        "kind": model.kind,
        "horizon_days": 30,
        "score_percentiles": np.quantile(scores, np.linspace(0, 1, 101)).tolist(),
    }
    return pack(manifest, fitted.fitted, describe(pd.DataFrame({"score": scores})))


@pytest.fixture(scope="module")
def fits() -> Callable[[CustomerModel], tuple[Dataset, FittedModel, dict[str, bytes]]]:
    """A function: the rows, the fitted model and its files, each model fitted once."""
    made: dict[str, tuple[Dataset, FittedModel, dict[str, bytes]]] = {}

    def of(model: CustomerModel) -> tuple[Dataset, FittedModel, dict[str, bytes]]:
        if model.name not in made:
            data = dataset(model)
            fitted = fit(data, False, "1")
            made[model.name] = data, fitted, packed(model, fitted, data)
        return made[model.name]

    return of


Fits = Callable[[CustomerModel], tuple[Dataset, FittedModel, dict[str, bytes]]]


def opened(files: Mapping[str, bytes]) -> FittedModel:
    return open_bundle("1", files, digest(files[MANIFEST]))


@every_model
def test_the_same_seed_gives_the_same_scores_and_the_same_files(model: CustomerModel, fits: Fits) -> None:
    data, fitted, files = fits(model)
    again = fit(dataset(model), False, "1")
    assert packed(model, again, data) == files
    assert np.array_equal(again.score(values_of(data)), fitted.score(values_of(data)))
    assert len(np.unique(fitted.score(values_of(data)))) > 100


@every_model
def test_a_reloaded_model_gives_exactly_the_same_scores(model: CustomerModel, fits: Fits) -> None:
    _, fitted, files = fits(model)
    model_again = opened(files)
    assert model_again.name == model.name
    assert model_again.features == fitted.features
    assert set(model_again.features) >= {c.feature.name for c in model.eligible}
    for seed in (0, 1):
        fresh = values_of(dataset(model, seed))
        assert np.array_equal(model_again.score(fresh), fitted.score(fresh))
    assert "pickle" not in "".join(files)


@every_model
def test_a_single_row_scores_as_in_a_batch_to_the_last_bit(model: CustomerModel, fits: Fits) -> None:
    data, fitted, files = fits(model)
    values = values_of(data)
    for one in (fitted, opened(files)):
        together = one.score(values)
        alone = [one.score({name: [column[i]] for name, column in values.items()}) for i in range(200)]
        assert [float(score[0]) for score in alone] == together[:200].tolist()
        x = matrix(one.columns, values)
        rows = [one.fitted.predict_row(row) for row in x[:200]]
        assert rows == one.fitted.predict(x)[:200].tolist()


@every_model
def test_a_complement_is_exactly_one_less_the_score(model: CustomerModel, fits: Fits) -> None:
    data, fitted, _ = fits(model)
    turned = FittedModel("1", dict(fitted.manifest) | {"complement": True}, fitted.fitted, {})
    assert np.array_equal(turned.score(values_of(data)), 1 - fitted.score(values_of(data)))


@every_model
def test_scores_are_probabilities_or_money_also_of_extreme_customers(
    model: CustomerModel, fits: Fits
) -> None:
    _, fitted, _ = fits(model)
    values = values_of(dataset(model, 1))
    extremes = {name: [0, -1, 1e12, float("inf"), float("nan"), None] for name in values}
    for name, feature in FEATURES.items():
        if feature.dtype == "string":
            extremes[name] = ["", "DE", "\N{SNOWMAN}" * 500, None, "nowhere", "rare"]
    for rows in (values, extremes):
        scores = fitted.score(rows)
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()
        assert model.kind == "money" or (scores <= 1).all()


@every_model
def test_customers_with_all_features_missing_are_scored(model: CustomerModel, fits: Fits) -> None:
    _, fitted, _ = fits(model)
    missing = {name: [None, float("nan"), pd.NA] for name in fitted.features}
    scores = fitted.score(missing)
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 1


@every_model
def test_a_category_never_seen_counts_as_missing(model: CustomerModel, fits: Fits) -> None:
    data, fitted, _ = fits(model)
    texts = [column for column in fitted.columns if column.dtype == "string"]
    assert texts
    for column in texts:
        assert column.vocabulary == ("AT", "DE", "FR")  # too few customers hold the fourth
    values = values_of(data)
    unseen = values | {column.name: ["atlantis"] * ROWS for column in texts}
    missing = values | {column.name: [None] * ROWS for column in texts}
    assert np.array_equal(fitted.score(unseen), fitted.score(missing))


@every_model
def test_scores_do_not_depend_on_column_order_extra_columns_or_other_rows(
    model: CustomerModel, fits: Fits
) -> None:
    data, fitted, _ = fits(model)
    values = values_of(data)
    scores = fitted.score(values)
    turned = dict(reversed(values.items())) | {"nothing_of_ours": ["x"] * ROWS}
    assert np.array_equal(fitted.score(turned), scores)
    for i in (0, 7, ROWS - 1):
        assert fitted.score({name: column[i : i + 1] for name, column in values.items()})[0] == scores[i]


@every_model
def test_the_estimator_learns_what_the_label_depends_on(model: CustomerModel, fits: Fits) -> None:
    _, fitted, _ = fits(model)
    fresh = dataset(model, 2)
    scores = fitted.score(values_of(fresh))
    assert scores[fresh.y > 0].mean() > 1.2 * scores[fresh.y == 0].mean()
    assert scores.mean() == pytest.approx(fresh.y.mean(), rel=0.25)


@every_model
def test_percentiles_rise_with_the_score_from_0_to_100(model: CustomerModel, fits: Fits) -> None:
    data, _, files = fits(model)
    model_again = opened(files)
    scores = np.sort(model_again.score(values_of(data)))
    percentiles = model_again.percentiles(scores)
    assert (np.diff(percentiles) >= 0).all()
    assert percentiles[-1] == pytest.approx(100)
    assert percentiles[ROWS // 2] == pytest.approx(50, abs=1.5)
    assert model_again.percentiles(np.array([-1.0, np.inf])) == pytest.approx([0, 100])


@every_model
def test_an_ineligible_customer_gets_the_reason(model: CustomerModel, fits: Fits) -> None:
    _, _, files = fits(model)
    bundle = opened(files)
    (condition,) = model.eligible
    bound = condition.at_least if condition.at_least is not None else condition.at_most
    assert bound is not None
    step = -1 if condition.at_least is not None else 1
    values: dict[str, list[Any]] = {name: [1] * 5 for name in bundle.features}
    values[condition.feature.name] = [bound, bound - step, bound + step, None, float("nan")]
    assert bundle.refusals(values) == [None, None, *[condition.otherwise] * 3]


# Encoding


def test_numbers_and_categories_become_floats_and_everything_missing_becomes_nan() -> None:
    country = Column("country", "string", "", "", ("AT", "DE"))
    orders, given = Column("orders", "int64", "", ""), Column("told", "boolean", "", "")
    x = matrix(
        [country, orders, given],
        {"told": [True, False, None], "orders": [3, None, pd.NA], "country": ["DE", "XX", None], "more": [1]},
    )
    assert x[0].tolist() == [1, 3, 1]
    assert x[1, 2] == 0
    assert np.isnan(x[[1, 1, 2, 2, 2], [0, 1, 0, 1, 2]]).all()


def test_a_category_needs_enough_customers_to_be_learnt() -> None:
    texts = ["b"] * SMALLEST_CATEGORY + ["a"] * (SMALLEST_CATEGORY + 1) + ["c"] * (SMALLEST_CATEGORY - 1)
    assert vocabulary(pd.Series([*texts, None, None])) == ("a", "b")


# Damaged bundles


@pytest.fixture(scope="module")
def bundle(fits: Fits) -> dict[str, bytes]:
    return fits(MODELS["propensity"])[2]


FILES = (MANIFEST, "parameters.json", "reference.json", "trees.lgb")


def test_a_bundle_is_text_and_contains_the_digests_of_its_files(bundle: dict[str, bytes]) -> None:
    assert sorted(bundle) == sorted(FILES)
    manifest = json.loads(bundle[MANIFEST])
    assert manifest["format"] == FORMAT
    assert manifest["files"] == {n: digest(c) for n, c in bundle.items() if n != MANIFEST}
    assert all(content.decode() for content in bundle.values())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_a_flipped_bit_is_refused_with_the_files_name(
    name: str, where: float, bundle: dict[str, bytes]
) -> None:
    damaged = bytearray(bundle[name])
    damaged[-1 if where == -1 else int(len(damaged) * where)] ^= 1
    with pytest.raises(PatronError, match=rf"version 4 is refused: {name} is missing or not as it was"):
        open_bundle("4", bundle | {name: bytes(damaged)}, digest(bundle[MANIFEST]))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_with_its_name(name: str, bundle: dict[str, bytes]) -> None:
    rest = {other: content for other, content in bundle.items() if other != name}
    with pytest.raises(PatronError, match=rf"version 4 is refused: {name} is missing"):
        open_bundle("4", rest, digest(bundle[MANIFEST]))


def test_all_damaged_files_are_named(bundle: dict[str, bytes]) -> None:
    with pytest.raises(PatronError, match=r"refused: parameters\.json, reference\.json is missing"):
        open_bundle("4", bundle | {"parameters.json": b"", "reference.json": b"{}"}, digest(bundle[MANIFEST]))


@pytest.mark.parametrize("wrong", ["", "0" * 64])
def test_a_manifest_that_is_not_the_published_one_is_refused(wrong: str, bundle: dict[str, bytes]) -> None:
    with pytest.raises(PatronError, match=r"manifest\.json is missing or not as it was published"):
        open_bundle("4", bundle, wrong)


def test_a_bundle_of_another_format_is_refused_with_both_numbers(bundle: dict[str, bytes]) -> None:
    manifest = json.loads(bundle[MANIFEST]) | {"format": FORMAT + 1}
    files = bundle | {MANIFEST: json.dumps(manifest).encode()}
    with pytest.raises(PatronError, match=rf"bundle format {FORMAT + 1}, and this code reads {FORMAT}"):
        open_bundle("4", files, digest(files[MANIFEST]))


def test_a_changed_definition_of_a_feature_is_refused_with_its_name(bundle: dict[str, bytes]) -> None:
    model = opened(bundle)
    now = {column.name: column.definition for column in model.columns}
    assert now == {f.name: f.definition() for f in MODELS["propensity"].features}
    model.check_definitions(now | {"not_read": "anything"})
    with pytest.raises(PatronError, match=r"propensity version 1 .* definitions of recency_days, country"):
        model.check_definitions(now | {"country": "x", "recency_days": "y"})
    with pytest.raises(PatronError, match=r"definitions of spend_90d than .* `patron train propensity`"):
        model.check_definitions({n: d for n, d in now.items() if n != "spend_90d"})


def test_a_changed_expression_changes_the_hash_that_is_checked() -> None:
    recency = FEATURES["recency_days"]
    changed = replace(recency, function=lambda orders: orders.days_ago.min() + 1)
    renamed = replace(recency, description="Said otherwise.")
    assert renamed.definition() == recency.definition() != changed.definition()
