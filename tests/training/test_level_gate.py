"""The level at the last moments: measured, drawn, and a reason to refuse a version."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.questions.clv import clv
from models.questions.gates import LEVEL_EXCESS
from training.evaluation.evaluate import Evaluation
from training.evaluation.levels import LevelRow, level_metrics, level_row
from training.evaluation.plots import plots


def rows(*ratios: float) -> list[LevelRow]:
    return [LevelRow(f"2026-0{i + 1}-01", 100 * ratio, 100.0, {}) for i, ratio in enumerate(ratios)]


def evaluation(**metrics: float) -> Evaluation:
    fine = {gate.metric: gate.at_least if gate.at_least is not None else gate.at_most for gate in clv.gates}
    measures = {name: float(value) for name, value in fine.items() if value is not None} | metrics
    return Evaluation("money", measures | {"gini": 0.5}, [{"predicted": 1, "actual": 1}], {}, (), 10)


def test_a_row_has_the_totals_and_those_of_each_tier() -> None:
    customers = pd.DataFrame({"label": [10.0, 0.0, 5.0, 0.0], "value_tier": ["A", "A", "B", "none"]})
    row = level_row("2026-01-01", customers, np.array([8.0, 4.0, 10.0, 1.0]))
    assert row is not None
    assert (row.predicted, row.actual) == (23.0, 15.0)
    assert row.tiers == {"A": pytest.approx(1.2), "B": pytest.approx(2.0)}


def test_a_moment_without_an_outcome_has_no_row() -> None:
    customers = pd.DataFrame({"label": [0.0], "value_tier": ["A"]})
    assert level_row("2026-01-01", customers, np.array([1.0])) is None


def test_the_mean_is_geometric_and_the_shops_variation_excuses() -> None:
    level = level_metrics(rows(2.0, 0.5), None)
    assert (level["level_ratio"], level["level_excess"], level["level_moments"]) == (1.0, 1.0, 2.0)
    twice = rows(2.0, 2.0)
    assert level_metrics(twice, None)["level_excess"] == pytest.approx(2.0)
    assert level_metrics(twice, 0.1)["level_excess"] == pytest.approx(2.0 * np.exp(-0.2))
    assert level_metrics(twice, 0.5)["level_excess"] == 1.0
    assert level_metrics(rows(0.5), 0.1) == level_metrics(twice, 0.1) | {
        "level_ratio": pytest.approx(0.5), "level_moments": 1.0
    }  # fmt: skip


def test_a_level_that_is_surely_wrong_is_refused() -> None:
    assert not evaluation(**level_metrics(rows(1.3, 1.2), 0.05)).failed_gates(clv)
    (words,) = evaluation(**level_metrics(rows(2.4, 2.2), 0.1)).failed_gates(clv)
    assert words.startswith("level_excess is 1.88 and must be at most 1.5: its totals at the last moments")


def test_a_shop_without_outcomes_at_the_last_moments_fails_the_gate() -> None:
    (words,) = evaluation(**level_metrics([], 0.1)).failed_gates(clv)
    assert words.startswith("level_excess cannot be computed from the outcomes of the test: ")


def test_intervals_that_miss_the_best_are_refused() -> None:
    (words,) = evaluation(interval_coverage_top_decile=0.5).failed_gates(clv)
    assert "interval_coverage_top_decile is 0.5" in words


def test_the_card_draws_the_level_of_all_and_of_each_tier() -> None:
    with_tiers = [replace(row, tiers={"A": 1.1, "B": 0.8}) for row in rows(1.2, 0.9)]
    shown = evaluation().with_levels(with_tiers, 0.2)
    (axes,) = plots(shown, "EUR")["levels"].axes
    drawn = {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}  # type: ignore[arg-type]
    assert drawn["all customers"] == pytest.approx([1.2, 0.9])
    assert drawn["tier A"] == [1.1, 1.1]
    assert axes.get_yscale() == "log"
    assert shown.documents()["levels"]["rows"][0]["day"] == "2026-01-01"
    assert LEVEL_EXCESS > 1
