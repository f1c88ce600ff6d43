"""Bad input to models: refused with a reason, or handled as documented.

What stands elsewhere: columns, infinities, outcomes and customers named twice of tables in test_tables.py;
BG/NBD and gamma-gamma in theirs; too few or equal outcomes in test_training.py; extreme, infinite and unseen
values in test_models.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.home import Home
from events.files import imports
from events.files.table import open_table
from features.offline.snapshots import snapshot
from models import questions
from models.estimator import Array, FitContext
from models.estimators.candidates import LINE_FEATURES
from models.estimators.contest import money_blend, probability_blend
from models.estimators.line import fit_line
from models.measures import metrics
from models.outliers import cap_of, winsorized
from models.questions import MODELS, OPTIONAL
from models.registry.registry import Registry
from training.tables.labelled import label

Run = Callable[..., tuple[int, str, str]]
Sales = list[tuple[str, date, float]]
ImportSales = Callable[[Path, Sales], Home]
START, DAYS = date(2023, 1, 1), 430
GIANT = 1e6


def sales(customers: int, orders: float = 6.0) -> Sales:
    """Orders of 10 to 100 EUR at random days; ``orders`` of each customer on average, one at least."""
    rng = np.random.default_rng(3)
    counts = 1 + rng.poisson(rng.gamma(1, max(orders - 1, 0), customers))
    return [
        (f"C{who:03}", START + timedelta(days=int(day)), round(float(rng.lognormal(3.4, 0.5)), 2))
        for who, count in enumerate(counts)
        for day in rng.integers(0, DAYS, count)
    ]


# A shop with too little data, on the command line


@pytest.mark.parametrize(
    ("of", "messages"),
    [
        (
            sales(260, orders=1),
            {
                "propensity": "and it takes 50 of each kind; use another --horizon or import more history",
                "clv": "outcomes are positive, and it takes 50 of each kind",
            },
        ),
        (
            [row for who, day, paid in sales(260) for row in ((who, day, paid), (who, day, -2 * paid))],
            {"clv": "clv cannot be trained: 0 of"},
        ),
    ],
    ids=["single orders", "more refunded than spent"],
)
def test_a_shop_with_too_little_data_is_refused_with_the_reason(
    of: Sales, messages: dict[str, str], tmp_path: Path, run_patron: Run, import_sales: ImportSales
) -> None:
    home = import_sales(tmp_path, of)
    for model, words in messages.items():
        code, _, err = run_patron(home, "train", model)
        assert code == 1
        assert words in err
        assert "Traceback" not in err
        assert Registry(home).versions(model) == []


def test_a_shop_for_which_no_model_can_be_trained_is_refused_with_each_reason(
    tmp_path: Path, run_patron: Run, import_sales: ImportSales
) -> None:
    home = import_sales(tmp_path, sales(3))
    code, _, err = run_patron(home, "train", "propensity")
    assert code == 1
    assert "3 customers have a known outcome and it takes 200; import more history" in err
    assert "Traceback" not in err
    code, _, err = run_patron(home, "train", "all")
    assert code == 1
    assert "no model can be trained" in err
    assert all(f"{name} cannot be trained: " in err for name in MODELS | OPTIONAL)
    assert all(Registry(home).versions(name) == [] for name in MODELS | OPTIONAL)


@pytest.mark.slow
def test_a_year_of_history_trains_what_it_suffices_for_and_reports_the_champions_horizon(
    tmp_path: Path, run_patron: Run, monkeypatch: pytest.MonkeyPatch, import_sales: ImportSales
) -> None:
    customers = {name: MODELS[name] for name in ("propensity", "churn")}  # clv is trained below
    monkeypatch.setattr(questions, "MODELS", customers)
    home = import_sales(tmp_path, [row for row in sales(400) if row[1] < START + timedelta(days=365)])
    code, out, _ = run_patron(home, "train", "all", "--json")
    assert code in (0, 3)
    given = json.loads(out)
    assert {"propensity", "churn"} <= {version["name"] for version in given["versions"]}
    assert "leads cannot be trained" in given["left_out"]["leads"]
    assert Registry(home).versions("churn")[0].champion or (
        run_patron(home, "promote", "churn", "1", "--force", "--why", "the only one")[0] == 0
    )
    code, out, _ = run_patron(home, "report", "churn", "--json")
    reported = json.loads(out)
    assert (code, reported["horizon_days"]) == (0, 90)  # not 180, for which the history is too short
    assert all(set(row["caught"]) == {"45", "30", "15"} for row in reported["early_warning"])
    assert all(row["lapsed"] > 0 for row in reported["early_warning"])


def test_training_on_money_is_refused_for_purchases_without_amounts(tmp_path: Path, run_patron: Run) -> None:
    (tmp_path / "dates.csv").write_text(
        "\n".join(["who,day", *(f"{who},{day}" for who, day, _ in sales(260))])
    )
    mapping = '[shop]\ntime_zone = "UTC"\ncurrency = "EUR"\n[orders]\ncustomer = "who"\ntime = "day"\n'
    (tmp_path / "dates.toml").write_text(mapping + "no_amounts = true\n")
    home = Home(tmp_path / "home")
    imports.import_file(home, str(tmp_path / "dates.csv"), str(tmp_path / "dates.toml"))
    code, _, err = run_patron(home, "train", "clv")
    assert code == 1
    assert "clv cannot be trained: no order of this shop has an amount" in err
    assert Registry(home).versions("clv") == []


# One order of a million among ordinary ones


def test_a_giant_order_does_not_affect_other_customers(
    tmp_path: Path, run_patron: Run, import_sales: ImportSales
) -> None:
    """The shop's clv, and its files: totals of the others stay what they were, and no score is NaN."""
    ordinary = sales(260)
    home = import_sales(tmp_path, [*ordinary, ("C007", START + timedelta(days=DAYS - 60), GIANT)])
    code, _, err = run_patron(home, "train", "clv")
    assert code in (0, 3), err
    model = Registry(home).open("clv", "1")
    if code == 3:
        run_patron(home, "promote", "clv", "1", "--force", "--why", "what it says of others is asked")
    code, _, err = run_patron(home, "score", "--model", "clv", "--out", str(tmp_path / "clv.parquet"))
    assert code == 0, err
    table = pq.read_table(tmp_path / "clv.parquet").to_pandas().set_index("customer_id")
    assert np.isfinite(table[["clv", "clv_low", "clv_high"]]).all(axis=None)
    days = model.manifest["horizon_days"]
    usual = sum(paid for who, _, paid in ordinary if who != "C007") * days / DAYS
    assert 0.4 < table["clv"].drop("C007").sum() / usual < 2.5


@pytest.mark.parametrize("when", ["early", "late"])
def test_ranking_and_total_of_other_customers_are_the_same_without_the_outlier(when: str) -> None:
    x, y, customers, request = months()
    estimator = money_blend()
    usual = estimator.fit(x, y, customers, [], request).predict(x)
    giant = y.copy()
    giant[5 if when == "early" else -5] = GIANT
    result = estimator.fit(x, winsorized(giant), customers, [], request).predict(x)
    assert 0.6 < result.sum() / usual.sum() < 1.7
    assert metrics.normalised_gini(y, result) > metrics.normalised_gini(y, usual) - 0.05


def test_an_outlier_counts_as_the_cap_and_smaller_amounts_are_unchanged() -> None:
    rng = np.random.default_rng(1)
    amounts = np.append(rng.lognormal(4, 1, 5000), [0.0, -3.0, GIANT])
    result = winsorized(amounts)
    assert result[:-1].tolist() == amounts[:-1].tolist()
    assert result[-1] == cap_of(amounts) < 50_000
    assert cap_of(np.full(9, 30.0)) == pytest.approx(30 * np.exp(3))  # all alike: 20 times as much
    assert winsorized(np.zeros(3)).tolist() == [0, 0, 0]


def test_an_outlier_in_a_table_counts_as_the_cap_and_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    spent = np.round(rng.lognormal(3, 0.7, 400), 2)
    spent[9] = GIANT
    frame = pd.DataFrame({"visits": rng.poisson(5, 400), "spent": spent})
    frame.to_csv(tmp_path / "table.csv", index=False)
    data = label(open_table(tmp_path / "table.csv"), "spent")
    assert data.y[9] == pytest.approx(cap_of(spent)) == data.y.max()
    assert [note for note in data.notes if "1 amounts of spent above" in note]


# Uninformative features


def months() -> tuple[Array, Array, np.ndarray, FitContext]:
    """The features of 200 customers in 7 months, and what they spent within 30 days."""
    rng = np.random.default_rng(0)
    rows = 7 * 200
    orders, recency = rng.poisson(3, rows) + 1.0, rng.exponential(60, rows).round()
    x = np.column_stack([orders, recency, recency + 50, orders * 30, rng.lognormal(3, 0.5, rows)])
    y = (rng.random(rows) < metrics.sigmoid(np.log(orders) - np.log1p(recency) + 2)) * x[:, 4]
    days = np.repeat(np.arange(7) * 30, 200)
    return x, y, np.tile(np.arange(200), 7), FitContext(LINE_FEATURES, days, 30, 210)


@pytest.mark.parametrize("kind", ["probability", "money"])
@pytest.mark.parametrize("timed", [True, False], ids=["by time", "by customer"])
@pytest.mark.parametrize("value", [7.0, np.nan, -1e9], ids=str)
@pytest.mark.parametrize("columns", [[4], [0, 1, 2, 3, 4]], ids=["one", "all"])
def test_uninformative_features_give_finite_scores_with_the_right_mean(
    kind: str, timed: bool, value: float, columns: list[int]
) -> None:
    x, y, customers, request = months()
    x[:, columns] = value
    y = y if kind == "money" else (y > 0).astype(np.float64)
    estimator = money_blend() if kind == "money" else probability_blend()
    result = estimator.fit(x, y, customers, [], request if timed else None).predict(x)
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    assert result.mean() == pytest.approx(y.mean(), rel=0.15)


@pytest.mark.parametrize("family", ["logistic", "normal", "tweedie"])
def test_a_line_of_constants_is_the_mean(family: str) -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0])
    line = fit_line(family, np.full((4, 2), 5.0), [0, 1], y)  # type: ignore[arg-type]
    mean = {"logistic": metrics.sigmoid, "normal": float, "tweedie": np.exp}[family]
    assert mean(line.raw(np.array([[1.0, 900.0]]))[0]) == pytest.approx(0.75)


# Files and populations


def test_a_customer_requested_twice_is_scored_twice(built_shop: Home) -> None:
    from events.identity import Identity

    ids = Identity(built_shop).table()["customer_id"].to_pylist()[:2]
    table = pd.DataFrame({"customer_id": [*ids, ids[0]], "as_of": "2024-03-01"})
    given = snapshot(table, ["orders_total", "recency_days"], built_shop)
    assert given["customer_id"].tolist() == table["customer_id"].tolist()
    pd.testing.assert_series_equal(given.iloc[0], given.iloc[2], check_names=False)


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_a_file_of_mixed_line_ends_is_read_and_reported(
    late: bool, tmp_path: Path, run_patron: Run, sales_mapping: str
) -> None:
    """Such as two exports in one file; DuckDB looks at the first 20,480 rows before it reads."""
    first = 25_000 if late else 50
    lines = ["who,day,no,sku,paid", *(f"C{i},2024-01-01,{i},tea,5" for i in range(2 * first))]
    ends = ["\n"] * first + ["\r\n"] * (len(lines) - first)
    path, home = tmp_path / "orders.csv", Home(tmp_path / "home")
    path.write_bytes("".join(map("".join, zip(lines, ends, strict=True))).encode())
    (tmp_path / "own.toml").write_text(sales_mapping)
    code, out, err = run_patron(home, "import", str(path), "--as", str(tmp_path / "own.toml"))
    assert (code, err) == (0, "")
    assert f"read {2 * first:,} = kept {2 * first:,} + rejected 0" in out
    assert "some lines end in \\r\\n and others in \\n" in out


def test_line_ends_within_cells_are_no_mixture(tmp_path: Path, run_patron: Run, sales_mapping: str) -> None:
    rows = ["who,day,no,sku,paid", 'C1,2024-01-01,1,"green\ntea",5', "C2,2024-01-02,2,tea,5"]
    (tmp_path / "orders.csv").write_bytes("\r\n".join([*rows, ""]).encode())
    (tmp_path / "own.toml").write_text(sales_mapping)
    code, _, err = run_patron(
        Home(tmp_path / "home"), "import", str(tmp_path / "orders.csv"), "--as", str(tmp_path / "own.toml")
    )
    assert (code, err) == (0, "")
