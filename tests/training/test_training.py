"""Training: splits by time, refusals, gates, publication, and no use of future data."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import day_of, midnight, months
from core.errors import PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from features.catalogue.store import Store
from features.frames import arrow_table
from features.groups import FEATURES, GROUPS
from features.groups.purchases import orders_total
from features.offline import populations
from features.offline.everyone import snapshot_of_everyone
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.estimators.candidates import CANDIDATES
from models.questions import MODELS
from models.questions.labels import ordered_within
from models.registry.encoding import days_of
from models.registry.registry import NoChampion, Registry
from models.spec import Condition, CustomerModel, Gate
from training.customers.backtest import recipe_of
from training.customers.dataset import columns_of, gather
from training.customers.horizon import with_horizon
from training.customers.pipeline import train
from training.customers.split import MIN_FIT_MOMENTS, split
from training.evaluation.evaluate import MEASURES, RANKING, Evaluation, by_slice
from training.evaluation.plots import plots

ZONE = "Europe/Berlin"
churn, propensity, clv = MODELS["churn"], MODELS["propensity"], MODELS["clv"]
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


# Splitting by time


def firsts(first: str, last: str) -> list[datetime]:
    """Midnights of the first of each month."""
    start, end = (day_of(datetime.fromisoformat(d).replace(tzinfo=UTC), ZONE) for d in (first, last))
    return [midnight(day, ZONE) for day in months(start, end)]


def midday(day: int) -> datetime:
    return midnight(day, ZONE) + timedelta(hours=11)


@given(
    st.sampled_from(list(MODELS)), st.one_of(st.none(), st.integers(1, 500)),
    st.integers(1, 60), st.integers(0, 40),
)  # fmt: skip
def test_no_training_label_reaches_past_the_test_or_the_present(
    name: str, horizon: int | None, count: int, later: int
) -> None:
    model = with_horizon(MODELS[name], horizon)
    as_ofs = firsts("2020-01-01", "2025-01-01")[:count]
    now = midday(day_of(as_ofs[-1], ZONE) + later)
    today = day_of(now, ZONE)
    try:
        parts = split(model, as_ofs, now, ZONE)
    except PatronError:
        shortest = min((model.horizon, *model.shorter_horizons)).days
        assert today - day_of(as_ofs[0], ZONE) < 2 * shortest + 31 * (MIN_FIT_MOMENTS + 2)
        return
    days = timedelta(days=parts.horizon_days)
    assert days in (model.horizon, *model.shorter_horizons)
    assert len(parts.fit) >= MIN_FIT_MOMENTS
    assert all(day_of(t, ZONE) + parts.horizon_days <= day_of(parts.test, ZONE) for t in parts.fit)
    assert all(day_of(t, ZONE) + parts.horizon_days <= today for t in parts.all)
    assert parts.test == parts.all[-1]
    assert parts.test not in parts.fit
    assert set(parts.fit) < set(parts.all) <= set(as_ofs)
    left_out = [t for t in as_ofs if t not in parts.all]
    assert all(day_of(t, ZONE) + parts.horizon_days > today for t in left_out)


def test_a_label_is_known_on_the_day_its_horizon_ends_and_not_a_day_before() -> None:
    as_ofs = firsts("2024-01-01", "2024-06-01")
    end = day_of(as_ofs[-1], ZONE) + 30
    assert split(propensity, as_ofs, midday(end), ZONE).test == as_ofs[-1]
    before = split(propensity, as_ofs, midday(end - 1), ZONE)
    assert before.test == as_ofs[-2]
    assert as_ofs[-1] not in before.all


def test_the_longest_horizon_that_the_history_allows_is_taken() -> None:
    as_ofs = firsts("2020-01-01", "2023-01-01")
    taken = {
        split(clv, as_ofs[:count], midday(day_of(as_ofs[count - 1], ZONE)), ZONE).horizon_days
        for count in range(10, 37)
    }
    assert taken == {90, 180, 270, 365}
    assert split(clv, as_ofs, midday(day_of(as_ofs[-1], ZONE)), ZONE).horizon_days == 365
    with pytest.raises(PatronError):  # an explicit horizon is not shortened
        split(with_horizon(clv, 365), as_ofs[:20], midday(day_of(as_ofs[20], ZONE)), ZONE)


def test_the_horizon_is_shorter_if_the_tests_fit_would_have_too_few_customers() -> None:
    as_ofs = firsts("2020-01-01", "2023-01-01")
    now = midday(day_of(as_ofs[-1], ZONE))
    longest = split(clv, as_ofs, now, ZONE)

    def customers(at_the_last_fit: int) -> dict[datetime, int]:
        return {t: at_the_last_fit if t <= longest.fit[-1] else 5000 for t in as_ofs}

    enough = clv.minimum_customers
    assert split(clv, as_ofs, now, ZONE, customers(enough)) == longest
    shorter = split(clv, as_ofs, now, ZONE, customers(enough - 1))
    assert shorter.horizon_days == 270
    assert shorter.fit[-1] > longest.fit[-1]
    assert split(clv, as_ofs, now, ZONE, dict.fromkeys(as_ofs, 9)).horizon_days == 90
    assert split(with_horizon(clv, 365), as_ofs, now, ZONE, customers(9)) == longest


def test_too_short_a_history_is_refused_with_its_length_and_the_needed_one() -> None:
    as_ofs = firsts("2024-01-01", "2024-03-01")
    has = day_of(as_ofs[-1], ZONE) - day_of(as_ofs[0], ZONE) + populations.HISTORY_DAYS
    for model, days in ((propensity, 30), (churn, 60), (clv, 90), (with_horizon(clv, 4000), 4000)):
        with pytest.raises(PatronError) as refused:
            split(model, as_ofs, midday(day_of(as_ofs[-1], ZONE)), ZONE)
        needs = 2 * days + populations.HISTORY_DAYS + 31 * MIN_FIT_MOMENTS
        assert str(refused.value) == (
            f"{model.name} cannot be trained: a horizon of {days} days needs about {needs} days of history"
            f" and there are about {has}; use a shorter --horizon or import more history"
        )


def test_a_history_of_the_length_in_the_message_suffices() -> None:
    for model, days in ((propensity, 30), (churn, 60), (clv, 90)):
        needs = 2 * days + populations.HISTORY_DAYS + 31 * MIN_FIT_MOMENTS
        as_ofs = firsts("2020-02-01", "2025-01-01")
        start = day_of(as_ofs[0], ZONE) - populations.HISTORY_DAYS
        now = midday(start + needs + 31)  # "about": a month more or less
        assert split(model, [t for t in as_ofs if t <= now], now, ZONE).horizon_days >= days


def test_a_history_without_a_full_month_is_refused() -> None:
    with pytest.raises(PatronError, match=r"propensity cannot be trained: the history holds no full month"):
        split(propensity, [], datetime(2024, 1, 1, tzinfo=UTC), ZONE)


@pytest.mark.parametrize("days", [0, -30])
def test_a_horizon_of_no_days_is_refused(days: int) -> None:
    with pytest.raises(PatronError, match=rf"a horizon of {days} days is not possible; use at least 1"):
        with_horizon(churn, days)


@pytest.mark.parametrize("days", [30, 90, 180])
def test_churn_is_learnt_as_the_complement_of_propensity_at_any_horizon(days: int) -> None:
    assert recipe_of(with_horizon(churn, days)) == (with_horizon(propensity, days), True)
    assert recipe_of(with_horizon(propensity, days)) == (with_horizon(propensity, days), False)


# A trained shop


@pytest.fixture(scope="module")
def registry(trained_shop: Home) -> Registry:
    return Registry(trained_shop)


@pytest.fixture(scope="module")
def today(built: SnapshotSet) -> dict[str, list[Any]]:
    """The features of everyone as of now, in the order of the customers' keys."""
    frames = [built.frame(group, built.current).set_index("customer_key") for group in GROUPS]
    joined = pd.concat([frame.drop(columns=["as_of", "created_at"]) for frame in frames], axis=1).sort_index()
    return columns_of(joined.astype(object).where(joined.notna(), None))


@every_model
def test_every_model_of_a_simulated_shop_passes_its_gates_if_there_are_enough_customers(
    model: CustomerModel, registry: Registry
) -> None:
    (version,) = registry.versions(model.name)
    assert version.failed_gates == ()
    assert version.champion
    assert {gate.metric for gate in model.gates} <= set(version.metrics)
    assert set(MEASURES[model.kind]) <= set(version.metrics)
    ranking = RANKING[model.kind][0]
    for baseline in model.baselines:
        ahead = version.metrics[ranking] - version.metrics[f"{ranking}_{baseline.name}"]
        assert version.metrics[f"{ranking}_over_{baseline.name}"] == pytest.approx(ahead)
    champion = registry.champion(model.name)
    assert champion.version == version.version
    text_value = champion.manifest
    assert text_value["question"] == model.question
    assert text_value["meaning"] == model.meaning.format(days=text_value["horizon_days"])
    assert text_value["kind"] == model.kind
    assert text_value["horizon_days"] in [h.days for h in (model.horizon, *model.shorter_horizons)]


@every_model
def test_the_mean_score_is_close_to_the_mean_training_outcome(
    model: CustomerModel, registry: Registry, today: dict[str, list[Any]]
) -> None:
    champion = registry.champion(model.name)
    request = np.array([reason is None for reason in champion.refusals(today)])
    scores = champion.score(today)[request]
    assert request.sum() > 100
    outcome = registry.versions(model.name)[0].metrics["outcome_mean"]
    assert scores.mean() == pytest.approx(outcome, rel=0.6)
    percentiles = champion.percentiles(scores)
    assert percentiles.mean() == pytest.approx(50, abs=3)
    assert champion.reference["rows"] == len(request)
    assert set(champion.reference["columns"]) == {*champion.features, "score"}


@every_model
def test_the_run_records_parameters_data_and_measures(model: CustomerModel, registry: Registry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        import mlflow
    client = mlflow.MlflowClient(tracking_uri=registry.mlflow.uri)
    version = registry.versions(model.name)[0]
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == version.metrics
    assert all(np.isfinite(value) for value in run.data.metrics.values())
    parameters = run.data.params
    assert int(parameters["horizon_days"]) == registry.champion(model.name).manifest["horizon_days"]
    assert int(parameters["features"]) == len(model.features)
    assert {"estimator", "rounds", "learning_rate", "fit_origins", "test_origin", "final_origins"} <= set(
        parameters
    )
    assert parameters["candidate"] in CANDIDATES[model.kind]
    if model.kind == "money":
        assert 0.8 <= run.data.metrics["interval_coverage"] <= 1
    tags = run.data.tags
    assert tags["model"] == model.name
    assert len(tags["data_digest"]) == 64
    assert tags["code_version"]
    assert tags["as_of"] == "2024-07-01T09:30:00Z"
    artifacts = {
        a.path for folder in ("", "plots", "bundle") for a in client.list_artifacts(run.info.run_id, folder)
    }
    assert {"plots/calibration.png", "calibration.json", "slices.json", "bundle/MLmodel"} <= artifacts
    for plot in ("calibration", "gain", "slices"):
        (picture,) = registry.home.mlflow.rglob(f"{run.info.run_id}/**/{plot}.png")
        assert picture.read_bytes().startswith(b"\x89PNG")
    bins = json.loads(next(registry.home.mlflow.rglob(f"{run.info.run_id}/**/calibration.json")).read_text())
    assert sum(row["customers"] for row in bins["bins"]) == version.metrics["test_customers"]
    rows = json.loads(next(registry.home.mlflow.rglob(f"{run.info.run_id}/**/slices.json")).read_text())[
        "rows"
    ]
    known = [row["customers"] for row in rows if row["of"].startswith("known for")]
    assert sum(known) == version.metrics["test_customers"]
    (card,) = registry.home.mlflow.rglob(f"{run.info.run_id}/**/card.md")
    for row in rows:
        given_value = "too few" if row["measure"] is None else f"{row['measure']:.3f}"
        assert f"| {row['of']} | {row['customers']:,} | {given_value} | " in card.read_text()


def test_slices_are_measured_apart_and_drawn_with_their_size_unless_outcomes_are_too_few() -> None:
    dice = np.random.default_rng(3)
    days = np.repeat([10, 60, 400], 200)
    label = np.where(days == 400, 0.0, (dice.random(600) < 0.5).astype(float))
    frame = pd.DataFrame({"recency_days": days, "label": label})
    score = np.where(days == 10, label, dice.random(600))  # knows the first slice, guesses the second
    rows = by_slice("probability", frame, score)
    assert [(row.of, row.customers) for row in rows] == [
        ("last order 0 to 30 days ago", 200),
        ("last order 31 to 90 days ago", 200),
        ("last order over 365 days ago", 200),
    ]
    assert rows[0].measure == 1.0
    assert rows[1].measure == pytest.approx(0.5, abs=0.15)
    assert rows[2].measure is None
    assert [row.actual for row in rows] == [label[days == d].mean() for d in (10, 60, 400)]
    calibration = [{"predicted": 0.5, "actual": 0.5, "customers": 600.0}]
    result = Evaluation("probability", {"auc": 0.75}, calibration, {}, rows, 600)
    (axes,) = plots(result, "probability")["slices"].axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([r.measure - 0.5 for r in rows[:2]])
    assert axes.get_ylim() == (2.5, -0.5)  # the first on top, and each with its room
    named = next(tick.get_text() for tick in axes.get_yticklabels())
    assert named == "last order 0 to 30 days ago  (n = 200)"
    assert {text.get_text().strip() for text in axes.texts} >= {"1.00", "too few outcomes"}
    (overall,) = (line for line in axes.lines if line.get_label() == "all customers: 0.75")
    assert list(overall.get_xdata()) == [0.75, 0.75]


@pytest.fixture(scope="module")
def everyone(trained_shop: Home) -> pd.DataFrame:
    return snapshot_of_everyone(trained_shop)


@every_model
def test_mlflow_scores_a_snapshot_as_it_is(
    model: CustomerModel,
    registry: Registry,
    everyone: pd.DataFrame,
    today: dict[str, list[Any]],
    tmp_path: Path,
) -> None:
    pq.write_table(arrow_table(everyone, FEATURES), tmp_path / "snapshot.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        import mlflow.pyfunc
        from mlflow.models import Model

        champion = registry.champion(model.name)
        run_id = registry.versions(model.name)[0].run_id
        (mlmodel,) = registry.home.mlflow.rglob(f"{run_id}/artifacts/bundle/MLmodel")
        loaded = mlflow.pyfunc.load_model(str(mlmodel.parent))
        result = loaded.predict(pd.read_parquet(tmp_path / "snapshot.parquet"))
        assert np.array_equal(loaded.predict(everyone), result)
        past = everyone.assign(as_of=everyone["as_of"] - pd.Timedelta(days=200))
        past_result = loaded.predict(past)
    assert everyone[list(champion.features)].isna().any(axis=None)
    assert np.array_equal(result, champion.score(today))
    assert np.array_equal(past_result, champion.score(today, days_of(past["as_of"])))
    assert not np.array_equal(past_result, result)
    signature = Model.load(str(mlmodel)).signature
    assert signature.inputs.input_names() == [*(column.name for column in champion.columns), "as_of"]
    assert signature.outputs.input_names() == ["score"]
    types = dict(zip(signature.inputs.input_names(), signature.inputs.input_types(), strict=True))
    assert types["orders_total"].name == "long"
    assert types["recency_days"].name == "double"  # MLflow's integers are never missing


@pytest.mark.slow
@every_model
def test_the_features_of_the_version_are_a_service_of_the_store(
    model: CustomerModel, trained_shop: Home, registry: Registry
) -> None:
    store = Store(trained_shop)
    assert f"{model.name}_v1" in store.services()
    service = store._feast.get_feature_service(f"{model.name}_v1")
    stored_value = {f.name for view in service.feature_view_projections for f in view.features}
    assert stored_value == set(registry.champion(model.name).features)


def trees_of(home: Home, registry: Registry, name: str) -> bytes:
    run_id = registry.versions(name)[0].run_id
    (path,) = home.mlflow.rglob(f"{run_id}/artifacts/bundle/trees.lgb")
    return path.read_bytes()


def test_churn_at_propensitys_horizon_is_exactly_its_complement(
    trained_copy: Home, built: SnapshotSet, today: dict[str, list[Any]]
) -> None:
    registry = Registry(trained_copy)
    version = train(Workspace(trained_copy, built), with_horizon(churn, 30), registry)
    assert version.version == "2"
    opposite, ours = registry.champion("propensity"), registry.open("churn", "2")
    assert opposite.manifest["horizon_days"] == ours.manifest["horizon_days"] == 30
    assert trees_of(trained_copy, registry, "churn") == trees_of(trained_copy, registry, "propensity")
    assert np.array_equal(ours.score(today), 1 - opposite.score(today))
    assert ours.manifest["meaning"] == churn.meaning.format(days=30)
    # The test uses churn's own customers, not propensity's.
    assert ours.manifest["eligible"] == [c.as_dict() for c in churn.eligible]
    assert version.metrics["test_customers"] < registry.versions("propensity")[0].metrics["test_customers"]
    assert version.metrics["outcome_mean"] > 0.5
    assert version.metrics["auc"] > 0.6


# Gates, and training that is refused


def test_the_same_events_in_another_home_give_the_same_bundle_and_gates_decide_on_the_champion(
    shop: Home,
    copy_home: Callable[[Home], Home],
    build_features: Callable[..., SnapshotSet],
    registry: Registry,
) -> None:
    """A probability and an amount, from features that were built twice."""
    home = copy_home(shop)
    built, again = build_features(home), Registry(home)
    model = replace(propensity, gates=(*propensity.gates, Gate("auc", "nothing is perfect", at_least=1.01)))
    version = train(Workspace(home, built), model, again)
    text_value = f"auc is {version.metrics['auc']:.3g} and must be at least 1.01: nothing is perfect"
    assert version.failed_gates == (text_value,)
    assert not version.champion
    (stored,) = again.versions("propensity")
    assert (stored.version, stored.failed_gates, stored.champion) == ("1", (text_value,), False)
    with pytest.raises(NoChampion, match="version 1 did not pass its gates") as refused:
        again.champion("propensity")
    assert text_value in str(refused.value)
    # Trained again with gates that pass, the same data give the same model, which becomes champion.
    passing = train(Workspace(home, built), propensity, again)
    assert (passing.version, passing.champion) == ("2", True)
    assert passing.metrics == version.metrics
    first, second = (again.open("propensity", v) for v in ("1", "2"))
    assert first.manifest["files"] == second.manifest["files"]
    assert again.champion("propensity").version == "2"
    assert [v.champion for v in again.versions("propensity")] == [True, False]
    train(Workspace(home, built), clv, again)
    for name, number in (("propensity", "2"), ("clv", "1")):
        digests = registry.files(name, "1")[1], again.files(name, number)[1]
        assert digests[0] == digests[1] != ""


def nobody_ordered(events: Any, population: Any, days: int) -> Any:
    return ordered_within(events, population, days).mutate(label=0.0)


def everybody_ordered(events: Any, population: Any, days: int) -> Any:
    return ordered_within(events, population, days).mutate(label=1.0)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            replace(propensity, minimum_customers=5_000),
            r"propensity cannot be trained: \d{3} customers have a known outcome and it takes 5000",
        ),
        (
            replace(propensity, eligible=(Condition(orders_total, "too few orders", at_least=1e6),)),
            r"propensity cannot be trained: 0 customers have a known outcome and it takes 200; import more",
        ),
        (
            replace(propensity, label=nobody_ordered),
            r"propensity cannot be trained: 0 of \d+ outcomes are positive, and it takes 50 of each",
        ),
        (
            replace(propensity, label=everybody_ordered),
            r"propensity cannot be trained: (\d+) of \1 outcomes are positive, and it takes 50 of each kind",
        ),
        (
            replace(clv, label=nobody_ordered),
            r"clv cannot be trained: 0 of \d+ outcomes are positive, and it takes 50",
        ),
        (
            with_horizon(propensity, 800),
            r"propensity cannot be trained: a horizon of 800 days needs about 1783",
        ),
    ],
    ids=["few customers", "nobody eligible", "nobody did", "everybody did", "no money", "long horizon"],
)
def test_training_with_too_little_data_is_refused_and_publishes_nothing(
    model: CustomerModel, words: str, trained_shop: Home, built: SnapshotSet, registry: Registry
) -> None:
    with pytest.raises(PatronError, match=words):
        train(Workspace(trained_shop, built), model, registry)
    assert len(registry.versions(model.name)) == 1


# No use of future data


def cut(home: Home, moment: datetime, folder: Path) -> Home:
    """A home with only the events that had happened and were known before a moment; the same keys."""
    past = Home(folder)
    past.path.mkdir()
    for file in (home.database_file, home.id_file):
        shutil.copy(file, past.path)
    backend = lake.connect()
    events = lake.read(home, backend)
    known = {name: table.to_pyarrow() for name, table in events.known_at(moment).items()}
    connection = lake.connect().con
    connection.register("ids", Identity(home).table())
    for name, table in known.items():
        connection.register("known", table)
        connection.execute(
            f"CREATE TABLE {name} AS SELECT i.customer_id, k.* EXCLUDE (customer_key, day)"
            " FROM known k JOIN ids i USING (customer_key)"
        )
        connection.unregister("known")
    shop = home.shop()
    described = {"source": shop.source, "first_day": lake.metadata(home).first_day}
    lake.write(past, connection, shop.time_zone, described)
    past.write_shop(replace(shop, clock=replace(shop.clock, frozen_at=moment)))
    return past


def late_news(home: Home, zone: str) -> tuple[int, datetime, datetime]:
    """A customer with an order in 2023 that was received a day later: key, timestamp, received_at."""
    lines = lake.read(home, lake.connect()).order_lines.order_by("timestamp").to_pandas()
    first = lines.groupby("customer_key")["timestamp"].transform("min")
    old = lines[(lines["timestamp"] - first > timedelta(days=31)) & (lines["timestamp"].dt.year == 2023)]
    for row in old.itertuples():
        happened, heard = (t.tz_localize("UTC").to_pydatetime() for t in (row.timestamp, row.received_at))
        if day_of(happened, zone) < day_of(heard, zone):
            return int(row.customer_key), happened, heard
    raise AssertionError("no news of 2023 was late over a midnight")


def test_later_data_do_not_change_the_backtest(
    built_shop: Home,
    built: SnapshotSet,
    build_features: Callable[..., SnapshotSet],
    tmp_path: Path,
) -> None:
    zone = built_shop.shop().time_zone
    customer, happened, heard = late_news(built_shop, zone)
    moment = heard - timedelta(seconds=1)
    past = cut(built_shop, moment, tmp_path / "past")
    build_features(past)
    full_store, past_store = Store(built_shop), Store(past)
    monthly = [t for t in built.as_ofs if t < moment]
    assert monthly == populations.origins(past)
    # The last label's horizon ends on the day of the order that was received too late.
    last = day_of(happened, zone) + 1 - day_of(monthly[-1], zone)
    for model, days in ((propensity, 30), (churn, 60), (clv, last)):
        known = [t for t in monthly if day_of(t, zone) + days <= day_of(moment, zone)]
        full = gather(full_store, model, known, days, moment)
        cut_off = gather(past_store, model, known, days, moment)
        assert len(full.frame) > 500
        pd.testing.assert_frame_equal(full.frame, cut_off.frame)
        assert full.digest() == cut_off.digest()
    # A second later one label differs, and so does the digest.
    later = gather(full_store, clv, known, last, heard)
    changed = later.frame[later.frame["label"] != full.frame["label"]]
    assert customer in set(changed["customer_key"])
    assert later.digest() != full.digest()
    assert later.frame.drop(columns="label").equals(full.frame.drop(columns="label"))
