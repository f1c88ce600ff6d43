"""Reports on a test: lead quality, early warning of churn, and shared traits."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import patron
from core.calendar import day_of
from core.home import Home
from events import lake
from features.groups import FEATURES
from features.groups.segment_rules import LAPSED_AFTER_DAYS
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.estimators.blend import BlendPart, FittedBlend
from models.estimators.line import fit_line
from models.estimators.trees import CalibratedTrees, Trees
from models.measures.metrics import wilson_interval
from models.questions import MODELS
from models.registry.registry import Registry
from models.spec import CustomerModel
from training.customers.backtest import backtest, prepare, split_history
from training.customers.dataset import columns_of
from training.reports import reports
from training.reports.early_warning import SHARES, by_threshold, days_before, silences
from training.reports.in_common import MIN_CUSTOMERS, shared_traits
from training.reports.lead_quality import MIN_PROSPECTS, by_origin
from training.reports.reports import ModelReport, report

# Leads by origin


def prospects() -> pd.DataFrame:
    search = pd.DataFrame({"channel": "search", "score": 0.1, "label": [1.0] * 8 + [0.0] * 72})
    social = pd.DataFrame({"channel": "social", "score": 0.3, "label": [1.0] * 12 + [0.0] * 28})
    nowhere = pd.DataFrame({"channel": None, "score": 0.2, "label": [0.0] * 10})
    return pd.concat([search, social, nowhere], ignore_index=True)


def test_lead_quality_has_predicted_and_actual_rates_by_origin() -> None:
    rows = by_origin(prospects(), ["channel"])
    assert [(row.by, row.of, row.prospects) for row in rows] == [
        ("channel", "social", 40), ("channel", "not known", 10), ("channel", "search", 80),
    ]  # fmt: skip
    social, unknown, search = rows
    assert (social.predicted, social.actual) == (pytest.approx(0.3), pytest.approx(0.3))
    overall = 20 / 130
    assert social.lift == pytest.approx(0.3 / overall)
    assert search.lift == pytest.approx(0.1 / overall)
    assert unknown.prospects < MIN_PROSPECTS
    assert unknown.lift is None
    assert (social.low, social.high) == wilson_interval(12, 40)


def test_no_prospects_make_no_rows() -> None:
    assert by_origin(prospects().iloc[:0], ["channel"]) == ()


def test_an_interval_of_a_share_is_wilsons() -> None:
    assert wilson_interval(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


# Early warning

SINCE, TODAY = 1000, 1300
BEFORE = days_before(LAPSED_AFTER_DAYS)
LAST = 990  # everyone's last order, so that they lapse on day 1170


def orders(**next_days: float) -> pd.DataFrame:
    """A customer by key, whose last order before ``SINCE`` was on ``LAST``, and their next order's day."""
    rows = [(int(key[1:]), LAST, following) for key, following in next_days.items()]
    return pd.DataFrame(rows, columns=["customer_key", "day", "next_day"])


def test_a_silence_lapses_or_ends_by_an_order_or_is_not_observed() -> None:
    lapses = LAST + LAPSED_AFTER_DAYS
    visited = orders(c1=np.nan, c2=lapses + 1, c3=lapses, c4=SINCE)
    long_ago = pd.DataFrame(
        [(5, SINCE - LAPSED_AFTER_DAYS + max(BEFORE) - 1, np.nan)], columns=visited.columns
    )
    later = pd.DataFrame([(4, SINCE, np.nan)], columns=visited.columns)
    result = silences(pd.concat([visited, long_ago, later]), LAPSED_AFTER_DAYS, SINCE, TODAY)
    assert result.to_dict("list") == {
        "customer_key": [1, 2, 3, 4],
        "lapses": [lapses] * 4,
        "ends": [lapses, lapses, lapses, SINCE],
        "lapsed": [True, True, False, False],
    }
    # Before the day of the lapse has ended, it is not known; an order is known on its day.
    assert silences(visited, LAPSED_AFTER_DAYS, SINCE, lapses)["customer_key"].tolist() == [3, 4]
    assert silences(visited, LAPSED_AFTER_DAYS, SINCE, lapses + 1)["customer_key"].tolist() == [1, 2, 3, 4]


def test_days_of_warning_are_counted_from_the_first_crossing_and_the_returned_are_false_alarms() -> None:
    lapses = LAST + LAPSED_AFTER_DAYS
    watched = silences(
        orders(c1=np.nan, c2=np.nan, c3=np.nan, c4=SINCE + 50), LAPSED_AFTER_DAYS, SINCE, TODAY
    )
    early, late = lapses - 90, lapses - 45
    scored = pd.DataFrame(
        [
            (1, early, 0.9), (1, late, 0.2),  # warned of 90 days before, whatever is said later
            (2, early, 0.2), (2, late, 0.9),
            (3, early, 0.2), (3, late, 0.2),
            (4, SINCE, 0.9), (4, SINCE + 50, 0.9),  # back on that day
            (9, early, 0.9),  # not watched
        ],
        columns=["customer_key", "day", "score"],
    )  # fmt: skip
    first = np.linspace(0, 1, 101)
    rows = {row.share: row for row in by_threshold(scored, watched, first, BEFORE)}
    assert list(rows) == list(SHARES)
    top = rows[0.2]
    assert top.threshold == pytest.approx(0.8)
    assert top.lapsed == 3
    assert top.caught == {90: pytest.approx(1 / 3), 60: pytest.approx(1 / 3), 30: pytest.approx(2 / 3)}
    assert top.median_days == pytest.approx(67.5)
    assert (top.warned, top.right) == (3, pytest.approx(2 / 3))
    everyone = rows[0.9]
    assert everyone.caught == {90: 1, 60: 1, 30: 1}
    assert (everyone.warned, everyone.right) == (4, pytest.approx(3 / 4))


def test_scores_after_the_end_of_a_silence_are_no_warnings() -> None:
    watched = silences(orders(c1=np.nan, c4=SINCE + 50), LAPSED_AFTER_DAYS, SINCE, TODAY)
    scored = pd.DataFrame({"customer_key": [4], "day": [SINCE + 50], "score": [0.9]})
    (row, *_) = by_threshold(scored, watched, np.array([0.1, 0.2]), BEFORE)
    assert (row.warned, row.right, row.median_days, row.lapsed) == (0, None, None, 1)


def test_without_a_lapse_there_is_no_early_warning() -> None:
    watched = silences(orders(c4=SINCE + 50), LAPSED_AFTER_DAYS, SINCE, TODAY)
    scored = pd.DataFrame({"customer_key": [4], "day": [SINCE], "score": [0.9]})
    assert by_threshold(scored, watched, np.array([0.1, 0.2]), BEFORE) == ()


def test_a_lapse_and_the_days_before_it_follow_the_horizon() -> None:
    assert [days_before(days) for days in (180, 60, 7, 1)] == [
        (90, 60, 30),
        (30, 20, 10),
        (3, 2, 1),
        (1, 1, 1),
    ]
    lapses = LAST + 60
    result = silences(orders(c1=np.nan, c2=lapses, c3=lapses + 1), 60, SINCE, TODAY)
    assert result["lapses"].tolist() == [lapses] * 3
    assert result["lapsed"].tolist() == [True, False, True]
    assert silences(orders(c1=np.nan), 60, LAST + 31, TODAY).empty  # too late for a warning 30 days before


# In common

SOME = [FEATURES[name] for name in ("recency_days", "country", "newsletter", "spend_90d")]


def customers(planted: bool) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 1000
    recency = pd.Series(rng.integers(0, 180, n), dtype="Int64").mask(pd.Series(rng.random(n) < 0.1))
    frame = pd.DataFrame(
        {
            "recency_days": recency,
            "country": rng.choice(["DE", "FR", "AT"], n, p=[0.6, 0.37, 0.03]),
            "newsletter": pd.Series(rng.random(n) < 0.5, dtype="boolean"),
            "spend_90d": rng.lognormal(3, 1, n),
        }
    )
    chance = np.full(n, 0.2)
    if planted:
        chance = np.where(frame["recency_days"].fillna(0) >= 144, 0.7, 0.15)
        chance = np.where(frame["country"] == "FR", chance + 0.2, chance)
    return frame.assign(label=(rng.random(n) < chance).astype(float))


def test_planted_traits_are_found_with_their_lift_and_noise_is_not() -> None:
    frame = customers(planted=True)
    result = {common.feature: common for common in shared_traits(frame, SOME)}
    assert set(result) == {"recency_days", "country"}
    recency = result["recency_days"]
    bound = float(recency.part.removeprefix("at least "))
    inside = frame["recency_days"].fillna(-1) >= bound
    assert recency.customers == inside.sum()
    assert recency.rate == pytest.approx(frame.loc[inside, "label"].mean())
    assert recency.lift == pytest.approx(recency.rate / frame["label"].mean())
    assert recency.of_outcomes == pytest.approx(frame.loc[inside, "label"].sum() / frame["label"].sum())
    assert result["country"].part == "is FR"
    assert shared_traits(customers(planted=False), SOME) == ()


def test_of_overlapping_parts_only_the_most_significant_is_reported() -> None:
    frame = customers(planted=True)
    frame["spend_90d"] = frame["recency_days"].astype("float64")
    named = [common.feature for common in shared_traits(frame, SOME)]
    assert len({"recency_days", "spend_90d"} & set(named)) == 1


def test_few_customers_or_a_single_outcome_give_no_traits() -> None:
    assert shared_traits(customers(planted=True).assign(label=1.0), SOME) == ()
    assert shared_traits(customers(planted=True).iloc[: MIN_CUSTOMERS - 1], SOME) == ()


# Of a shop


@pytest.fixture(scope="module")
def given_reports(built_shop: Home, built: SnapshotSet) -> dict[str, ModelReport]:
    """The reports of a probability and of an amount, by model."""
    return {name: report(Workspace(built_shop, built), MODELS[name]) for name in ("churn", "clv")}


def test_a_backtest_uses_nothing_received_after_its_moment(built_shop: Home, built: SnapshotSet) -> None:
    """Fitted on what was known at the test's moment, it is the model that training tests."""
    churn, workspace = MODELS["churn"], Workspace(built_shop, built)
    test = backtest(workspace, prepare(workspace, churn))
    assert test.split == split_history(workspace, churn)
    assert test.later[0] == test.split.test
    assert len(test.later) > 5
    assert test.frame["as_of"].unique().tolist() == [pd.Timestamp(test.split.test)]
    assert test.frame["score"].to_numpy() == pytest.approx(test.fitted.score(columns_of(test.frame)))
    assert test.frame["recency_days"].max() <= LAPSED_AFTER_DAYS


def test_the_report_of_churn_agrees_with_a_plain_count(
    built_shop: Home, built: SnapshotSet, given_reports: dict[str, ModelReport]
) -> None:
    given = given_reports["churn"]
    assert given.lead_quality == ()
    assert [row.share for row in given.early_warning] == list(SHARES)
    zone = built_shop.shop().time_zone
    since = day_of(split_history(Workspace(built_shop, built), MODELS["churn"]).test, zone)
    lines = lake.read(built_shop, lake.connect()).order_lines.to_pandas()
    lapsed = 0
    for _, days in lines.groupby("customer_key")["day"]:
        before = [day for day in days if day < since]
        recent = before and max(before) + LAPSED_AFTER_DAYS - since >= max(BEFORE)
        lapsed += bool(recent) and not any(since <= day <= max(before) + LAPSED_AFTER_DAYS for day in days)
    assert given.early_warning[0].lapsed == lapsed > 20
    caught = [row.caught for row in given.early_warning]
    assert all(a[k] <= b[k] for a, b in pairwise(caught) for k in BEFORE)
    assert all(row[90] <= row[60] <= row[30] for row in caught)
    assert "How early" in given.text()


def test_the_command_reports_the_same_as_text_and_as_json(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_HOME", str(trained_copy.path))
    computed: dict[str, ModelReport] = {}

    def report_once(workspace: Workspace, model: CustomerModel) -> ModelReport:
        if model.name not in computed:
            computed[model.name] = report(workspace, model)
        return computed[model.name]

    monkeypatch.setattr(reports, "report", report_once)

    def ran(*words: str) -> Any:
        return CliRunner().invoke(patron.app, ["report", *words])

    parsed = json.loads(ran("churn", "--json").stdout)
    assert parsed["model"] == "churn"
    assert parsed["early_warning"]
    assert parsed["in_common"]
    text_value = ran("churn").stdout
    assert all(
        f"{row['threshold']:.3f} (top {row['share']:.0%})" in text_value for row in parsed["early_warning"]
    )
    assert all(f"{row['feature']} {row['part']}" in text_value for row in parsed["in_common"])
    assert all(name in text_value.splitlines()[-1] for name in parsed["unused"] or ["none"])
    assert parsed["stability"][0]["days"] == 0
    assert f"{parsed['stability'][-1]['days']} days  {parsed['stability'][-1]['asked_on']}" in text_value
    money = json.loads(ran("clv", "--json").stdout)
    assert money["stability"][0]["days"] == 0
    assert f"  {money['stability'][-1]['asked_on']}" in ran("clv").stdout


@pytest.mark.parametrize("name", ["churn", "clv"])
def test_the_card_and_the_run_contain_the_report(
    name: str, trained_shop: Home, built: SnapshotSet, given_reports: dict[str, ModelReport]
) -> None:
    given = given_reports[name]
    workspace = Workspace(trained_shop, built)
    assert given.unused == backtest(workspace, prepare(workspace, MODELS[name])).fitted.unused
    registry = Registry(trained_shop)
    version = registry.versions(name)[0]
    (document,) = trained_shop.mlflow.rglob(f"{version.run_id}/**/report.json")
    # The card is about the published version, which is fitted on more months than the tested fit.
    of_final = replace(given, unused=registry.open(name, version.version).unused)
    assert json.loads(document.read_text()) == json.loads(json.dumps(of_final.as_dict()))
    (card,) = trained_shop.mlflow.rglob(f"{version.run_id}/**/card.md")
    for title, text in of_final.sections():
        assert f"## {title}\n```text\n{text}\n```\n" in card.read_text()
    assert bool(given.early_warning) == (name == "churn")


def test_features_without_gain_are_those_that_change_no_score() -> None:
    dice = np.random.default_rng(1)
    x = np.column_stack([dice.normal(size=(600, 2)), np.zeros(600), dice.exponential(size=600)])
    y = (x[:, 0] + dice.normal(0, 0.5, 600) > 0).astype(np.float64)
    constant = fit_line("logistic", x, (2, 3), y)
    trees = CalibratedTrees(rounds=5).fit(x[:, :3], y, np.arange(600), [])
    assert 0 in trees.used
    assert 2 not in trees.used
    assert constant.used == {3}
    blend = FittedBlend(
        "probability", {"trees": BlendPart(Trees(trees.booster)), "line": BlendPart(constant)}, 1.0, 0.0
    )
    assert blend.used == trees.used | {3}


def test_leads_are_reported_by_channel_source_and_country(prospects_shop: Home) -> None:
    from models.questions.leads import leads

    built = snapshots.build(prospects_shop)
    given = report(Workspace(prospects_shop, built), leads)
    by = {
        kind: [row for row in given.lead_quality if row.by == kind]
        for kind in ("acquisition_channel", "source")
    }
    assert sum(row.prospects for row in by["acquisition_channel"]) == given.customers > 100
    assert [row.of for row in by["source"]] == ["not known"]
    assert by["source"][0].actual == pytest.approx(given.rate)
    assert given.early_warning == ()
