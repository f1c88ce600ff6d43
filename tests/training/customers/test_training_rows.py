"""The training rows and the snapshot of all customers, as files for other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.errors import NothingThere, PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from events.schema import latest
from features.frames import arrow_table
from features.groups import FEATURES
from features.offline.everyone import snapshot_of_everyone
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.questions import MODELS
from models.spec import CustomerModel
from serving.files import tables
from training.customers.backtest import Preparation, prepare
from training.customers.dataset import as_known
from training.customers.training_rows import BETWEEN, FIT, TEST, TrainingRows, training_rows

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["churn", "clv"])
def model(request: pytest.FixtureRequest) -> CustomerModel:
    return MODELS[request.param]


@pytest.fixture(scope="module")
def workspace(built_shop: Home, built: SnapshotSet) -> Workspace:
    return Workspace(built_shop, built)


@pytest.fixture(scope="module")
def prepared(workspace: Workspace, model: CustomerModel) -> Preparation:
    return prepare(workspace, model)


@pytest.fixture(scope="module")
def rows(workspace: Workspace, model: CustomerModel) -> TrainingRows:
    return training_rows(workspace, model)


def test_the_rows_are_those_of_the_training(rows: TrainingRows, prepared: Preparation, workspace: Workspace):
    frame, data = rows.frame, prepared.data
    ids = Identity(workspace.home).ids(data.frame["customer_key"].unique().tolist())
    assert frame["customer_id"].tolist() == data.frame["customer_key"].map(ids).tolist()
    assert frame["as_of"].tolist() == data.frame["as_of"].tolist()
    assert rows.features == data.fit_context(data.columns()).features
    assert np.array_equal(data.x(data.columns()), _matrix(frame, prepared), equal_nan=True)
    assert np.array_equal(1 - data.y if prepared.complement else data.y, frame["label"])


def _matrix(frame: pd.DataFrame, prepared: Preparation) -> Any:
    from models.registry.encoding import matrix

    columns = prepared.data.columns()
    return matrix(columns, {column.name: frame[column.name].tolist() for column in columns})


def test_the_split_is_that_of_the_training(rows: TrainingRows, prepared: Preparation, workspace: Workspace):
    frame, split = rows.frame, prepared.split
    moments = {name: set(part["as_of"]) for name, part in frame.groupby("split")}
    assert moments[FIT] == {*split.fit}
    assert moments[TEST] == {split.test}
    assert moments[BETWEEN] == {*split.all} - {*split.fit, split.test}
    known = frame["label_at_test"].notna()
    assert (known == (frame["split"] == FIT)).all()
    earlier = as_known(workspace.store, prepared.data, split.fit, split.test).y
    assert np.array_equal(1 - earlier if prepared.complement else earlier, frame["label_at_test"][known])


def test_eligible_are_those_the_model_applies_to(rows: TrainingRows):
    frame = rows.frame
    if rows.model.name == "churn":
        assert (frame["eligible"] == (frame["recency_days"] <= 180)).all()
        assert 0 < frame["eligible"].sum() < len(frame)
    else:
        assert frame["eligible"].all()


def test_net_revenue_is_what_the_customers_brought(rows: TrainingRows, workspace: Workspace):
    """By plain Python, for some rows; it is not capped, and of all models the same."""
    events, zone = lake.read(workspace.home, lake.connect()), workspace.shop.time_zone
    paid = latest(events.order_lines).to_pandas()
    back = latest(events.refunds).to_pandas()
    for row in rows.frame.sample(30, random_state=3).itertuples():
        (key,) = Identity(workspace.home).keys([row.customer_id]).values()
        first = row.as_of.tz_convert(zone).date().toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001
        total = 0.0
        for table, sign in ((paid, 1), (back, -1)):
            within = (table.customer_key == key) & (table.day >= first)
            within &= table.day < first + rows.model.horizon_days
            total += sign * float(table.amount[within].sum())
        assert row.net_revenue == pytest.approx(max(total, 0.0))
    if rows.model.kind == "money":
        assert (rows.frame["label"] <= rows.frame["net_revenue"] + 1e-9).all()
    else:
        assert (rows.frame["net_revenue"][rows.frame["label"] == 1] == 0).all()  # no order, no revenue


@pytest.fixture(scope="module")
def present(built_shop: Home) -> pd.DataFrame:
    return snapshot_of_everyone(built_shop)


def test_the_snapshot_has_all_customers(present: pd.DataFrame, built_shop: Home, built: SnapshotSet):
    stored = built.everyone(built.current)
    ids = Identity(built_shop).ids(stored.index.tolist())
    assert present["customer_id"].tolist() == [ids[key] for key in sorted(ids)]
    assert np.allclose(present["spend_total"], stored.sort_index()["spend_total"])
    assert [*present.columns[2:]] == list(FEATURES)


def test_moments_without_customers_are_refused(built_shop: Home):
    with pytest.raises(PatronError, match="after the shop's present"):
        snapshot_of_everyone(built_shop, built_shop.shop().now() + timedelta(days=1))
    with pytest.raises(NothingThere, match="no customer was known"):
        snapshot_of_everyone(built_shop, datetime(2019, 1, 1, tzinfo=UTC))


def test_the_commands_write_files(
    built_shop: Home, copy_home: Callable[[Home], Home], run_patron: Run, tmp_path: Path
):
    home = copy_home(built_shop)
    out = tmp_path / "rows.parquet"
    code, printed, _ = run_patron(home, "dataset", "propensity", "--horizon", 60, "--out", out, "--json")
    done = json.loads(printed)
    table = pq.read_table(out)
    assert (code, done["rows"], done["horizon_days"]) == (0, table.num_rows, 60)
    assert sum(done["split"].values()) == table.num_rows
    assert str(table.schema.field("as_of").type) == "timestamp[us, tz=UTC]"
    assert table.column_names == [
        "customer_id", "as_of", "split", "eligible", *done["features"],
        "label", "label_at_test", "net_revenue",
    ]  # fmt: skip


def test_a_snapshot_of_a_moment_has_those_known_then_and_the_types_of_the_definitions(
    built_shop: Home, present: pd.DataFrame, run_patron: Run, tmp_path: Path
):
    out = tmp_path / "snapshot.parquet"
    code, printed, _ = run_patron(built_shop, "snapshot", "--as-of", "2022-06-01", "--out", out, "--json")
    done, table = json.loads(printed), pq.read_table(out)
    assert (code, done["as_of"]) == (0, "2022-05-31T22:00:00+00:00")  # midnight in Berlin
    assert 0 < done["customers"] == table.num_rows < len(present)
    kinds = {"orders_total": "int64", "recency_days": "double", "spend_total": "double", "country": "string"}
    assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
    then = table.to_pandas()
    now = present.set_index("customer_id").loc[then["customer_id"]]
    assert (then["orders_total"].to_numpy() <= now["orders_total"].to_numpy()).all()


def test_truth_values_are_words_in_text_files(present: pd.DataFrame):
    table = arrow_table(present[["customer_id", "newsletter"]], FEATURES)
    expected = [{True: "true", False: "false", None: ""}[value] for value in table["newsletter"].to_pylist()]
    rows = b"".join(tables.encoded(iter([table]), "csv")).decode("utf-8-sig").splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == expected
    lines = b"".join(tables.encoded(iter([table]), "ndjson")).splitlines()
    assert [json.loads(line) for line in lines] == table.to_pylist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dataset", "loyalty", "--out", "x.parquet"), "there is no model 'loyalty'"),
        (("dataset", "churn", "--out", "x.xls"), "must end in .parquet"),
        (("dataset", "churn", "--out", "/nowhere/x.csv"), "there is no folder /nowhere"),
        (("snapshot", "--out", "/nowhere/x.csv"), "there is no folder /nowhere"),
        (("snapshot", "--out", "x.csv", "--as-of", "yesterday"), "is not a date or time"),
        (("kpis", "--out", "x.txt"), "must end in .parquet"),
    ],
)
def test_wrong_use_is_refused_in_a_line(words: tuple[str, ...], message: str, shop: Home, run_patron: Run):
    code, printed, error = run_patron(shop, *words)
    assert (code, printed) == (1, "")
    assert message in error


def test_commands_need_a_shop(tmp_path: Path, run_patron: Run):
    for words in (("dataset", "churn"), ("snapshot",), ("kpis",), ("cohorts",)):
        code, _, error = run_patron(Home(tmp_path / "none"), *words, "--out", tmp_path / "x.csv")
        assert code == 1
        assert "there is no shop" in error


def test_key_figures_and_cohorts_are_printed_and_written(shop: Home, run_patron: Run, tmp_path: Path):
    code, printed, _ = run_patron(shop, "kpis", "--months", 2, "--out", tmp_path / "kpis.csv")
    assert code == 0
    assert printed.splitlines()[-2].startswith("2024-07*")
    assert len(pd.read_csv(tmp_path / "kpis.csv")) > 24
    out = tmp_path / "cohorts.parquet"
    code, printed, _ = run_patron(shop, "cohorts", "--json", "--months", 3, "--out", out)
    (first, *_) = json.loads(printed)["cohorts"]
    rows = pd.read_parquet(out).set_index(["cohort", "months_since_first"])
    row = rows.loc[(first["cohort"], 1)]
    expected = {name: value for name, value in first["months"][1].items() if name != "months_since_first"}
    assert {name: row[name] for name in expected} == expected
