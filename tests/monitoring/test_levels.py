"""What was predicted is compared with what happened: levels, calibration and intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.calendar import day_of, micros
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from events import lake
from events.identity import join
from models.registry.registry import Registry
from monitoring.levels import OFF, check_level
from monitoring.matured import level_of

Run = Callable[..., tuple[int, str, str]]


def outcomes(customers: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    score = rng.beta(2, 5, customers)
    return pd.DataFrame({"score": score, "label": (rng.random(customers) < score).astype(float)})


def test_a_true_level_is_quiet() -> None:
    report = check_level("churn", "probability", 30, outcomes())
    assert report.verdict == "quiet"
    assert report.ratio == pytest.approx(1, abs=0.1)
    assert report.slope == pytest.approx(1, abs=0.15)
    assert "The level of churn holds" in report.words


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_level_off_by_half_has_drifted(factor: float) -> None:
    rows = outcomes()
    report = check_level("churn", "probability", 30, rows.assign(score=rows["score"] * factor))
    assert report.verdict == "drifted"
    assert f"the predicted total is {report.ratio:.2f} times the actual one" in report.words


def test_a_wrong_ratio_of_few_outcomes_may_be_chance() -> None:
    rows = pd.DataFrame({"score": np.full(2000, 0.022), "label": (np.arange(2000) < 28).astype(float)})
    report = check_level("churn", "probability", 30, rows)
    assert report.ratio is not None
    assert report.ratio > OFF
    assert report.verdict == "quiet"


@pytest.mark.parametrize("rows", [outcomes(150), outcomes().assign(label=0.0), outcomes().assign(label=1.0)])
def test_too_few_customers_or_outcomes_give_no_verdict(rows: pd.DataFrame) -> None:
    report = check_level("churn", "probability", 30, rows)
    assert (report.verdict, report.ratio, report.coverage) == ("too_few", None, None)


def test_money_outside_its_intervals_has_drifted() -> None:
    rng = np.random.default_rng(4)
    score = rng.lognormal(3, 1, 2000)
    rows = pd.DataFrame({"score": score, "label": score * rng.lognormal(-0.02, 0.2, 2000)})
    wide = check_level("clv", "money", 30, rows.assign(low=score * 0.6, high=score * 1.6))
    narrow = check_level("clv", "money", 30, rows.assign(low=score * 0.9, high=score * 1.1))
    assert (wide.verdict, narrow.verdict) == ("quiet", "drifted")
    assert wide.coverage is not None
    assert wide.coverage > 0.95
    assert "lie within their intervals" in narrow.words


def test_coverage_is_that_of_the_customers_whose_interval_is_known() -> None:
    rows = pd.DataFrame(
        {"score": np.full(1000, 10.0), "label": np.full(1000, 12.0), "low": 9.0, "high": 13.0}
    )
    rows.loc[400:, ["low", "high"]] = np.nan
    assert check_level("clv", "money", 30, rows).coverage == 1
    rows.loc[100:, ["low", "high"]] = np.nan
    assert check_level("clv", "money", 30, rows).coverage is None


def test_the_monitor_compares_logged_scores_with_what_the_customers_did(
    trained_copy: Home, run_patron: Run, tmp_path: Path
) -> None:
    home = trained_copy
    shop, days = home.shop(), 30
    then = shop.now() - timedelta(days=days + 3)
    home.write_shop(replace(shop, clock=Clock(then)))
    code, _, errors = run_patron(home, "score", "--model", "propensity", "--out", tmp_path / "s.parquet")
    assert (code, errors) == (0, "")
    home.write_shop(shop)
    code, out, _ = run_patron(home, "monitor", "propensity", "--json")
    (report,) = json.loads(out)["reports"]
    level = report["level"]
    scores = pd.read_parquet(tmp_path / "s.parquet")["propensity"].dropna()
    lines = lake.read(home, lake.connect()).order_lines
    first = day_of(then, shop.time_zone) + 1
    window = lines.filter((lines.day >= first) & (lines.day < first + days))
    buyers = window.customer_key.nunique().execute()
    assert level["customers"] == len(scores)
    assert level["predicted"] == pytest.approx(scores.sum())
    assert 0 < level["actual"] <= buyers
    assert level["verdict"] in ("quiet", "drifted")
    assert level["words"] in report["words"]
    assert code == (3 if "drifted" in (report["verdict"], level["verdict"]) else 0)


def test_merged_customers_count_once_and_intervals_are_those_that_were_logged(
    trained_copy: Home, run_patron: Run, tmp_path: Path
) -> None:
    home, champion = trained_copy, Registry(trained_copy).champion("clv")
    shop = home.shop()
    then = shop.now() - timedelta(days=champion.manifest["horizon_days"] + 3)
    home.write_shop(replace(shop, clock=Clock(then)))
    code, _, errors = run_patron(home, "score", "--model", "clv", "--out", tmp_path / "s.parquet")
    assert (code, errors) == (0, "")
    home.write_shop(shop)
    scores = pd.read_parquet(tmp_path / "s.parquet").dropna(subset=["clv"]).set_index("customer_id")["clv"]

    apart = level_of(home, champion, 30, lake.connect())
    of_another_version = level_of(home, replace(champion, version="99"), 30, lake.connect())
    assert apart is not None
    assert apart.coverage is not None
    assert apart == of_another_version

    earlier, later = scores.sort_values().index[[-1, len(scores) // 2]]
    with Database(home).writing() as connection:
        join(connection, earlier, later, micros(then + timedelta(days=9)), 1)
    united = level_of(home, champion, 30, lake.connect())
    assert united is not None
    assert united.customers == apart.customers - 1
    assert united.predicted == pytest.approx(scores.sum() - scores[earlier])
    assert united.actual == pytest.approx(apart.actual)  # what both brought is the outcome of one customer
