"""The parts of a card: tenths with their money, and the influence of features."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from models.estimators.trees import CalibratedTrees
from models.registry.bundle import FittedModel
from models.registry.encoding import Column
from training.evaluation import tenths
from training.evaluation.influence import Influence, influence_of


def customers() -> tuple[pd.DataFrame, np.ndarray]:
    """A hundred customers: those with the best scores order, and spent twice as much before."""
    score = np.linspace(1, 0, 100)
    label = (np.arange(100) < 50).astype(float)
    return pd.DataFrame({"label": label, "spend_365d": np.where(label > 0, 20.0, 10.0)}), score


def test_tenths_have_calibration_and_the_money_of_the_customers_with_the_outcome() -> None:
    frame, score = customers()
    rows = tenths.tenths_of("probability", frame, score)
    assert [row.customers for row in rows] == [10] * 10
    assert [row.actual for row in rows] == [1] * 5 + [0] * 5
    assert rows[0].predicted == pytest.approx(score[:10].mean())
    assert [row.money for row in rows] == [200] * 5 + [0] * 5
    assert tenths.money_lift(rows) == [2] * 5 + [0] * 5
    lines = tenths.table_of("probability", rows)
    assert lines[2].endswith("| 200 | 20% | 2.00 |")
    assert lines[-1] == "Money: what the customers with the outcome spent in the 365 days before."
    (axes,) = tenths.figures(rows)["lift_in_money"].axes
    assert [bar.get_height() for bar in axes.patches] == [2] * 5 + [0] * 5


def test_the_money_of_an_amount_is_the_amount() -> None:
    frame, score = customers()
    rows = tenths.tenths_of("money", frame.assign(label=np.arange(100.0)), score)
    assert sum(row.money or 0 for row in rows) == np.arange(100).sum()


def test_tenths_without_any_money_have_no_lift() -> None:
    frame, score = customers()
    rows = tenths.tenths_of("probability", frame.drop(columns="spend_365d"), score)
    assert tenths.figures(rows) == {}
    assert len(tenths.table_of("probability", rows)) == 12
    nothing = tenths.tenths_of("money", frame.assign(label=0.0), score)
    assert tenths.money_lift(nothing) is None


@pytest.fixture(scope="module")
def influence() -> Influence:
    """Orders raise a score, days lower it, and a colour says nothing; the score is their complement."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 10, 600), rng.integers(0, 400, 600), rng.integers(0, 3, 600)]) * 1.0
    y = (rng.random(600) < 1 / (1 + np.exp(-(0.8 * x[:, 0] - 0.02 * x[:, 1])))).astype(float)
    fitted = CalibratedTrees(rounds=30).fit(x, y, np.arange(600), [2])
    columns = [
        {"name": name, "dtype": dtype, "unit": unit, "definition": "", "vocabulary": vocabulary}
        for name, dtype, unit, vocabulary in (
            ("orders", "int64", "orders", []),
            ("days", "int64", "days", []),
            ("colour", "string", "colour", ["blue", "green", "red"]),
        )
    ]
    x[:20, 1] = np.nan
    return influence_of(
        FittedModel("1", {"features": columns, "complement": True}, fitted, {}), x, "probability"
    )


def test_influence_names_the_features_and_the_direction_of_the_score(influence: Influence) -> None:
    assert {c.name for c in influence.columns[:2]} == {"orders", "days"}
    assert (np.diff(influence.means) <= 0).all()
    title, text = influence.section()
    assert title == "Influence (mean absolute SHAP value, log-odds)"
    by_name = {line.split()[0]: line for line in text.splitlines()}
    assert by_name["orders"].endswith("falls with the value")  # the complement turns the direction
    assert by_name["days"].endswith("rises with the value")
    assert by_name.get("colour", "by category").endswith("by category")


def test_influence_is_drawn(influence: Influence) -> None:
    figures = influence.figures()
    summary = figures["shap_summary"].axes[0]
    assert [tick.get_text() for tick in summary.get_yticklabels()] == [c.name for c in influence.columns]
    panels = [axes.get_xlabel() for axes in figures["shap_dependence"].axes]
    assert set(panels) == {"orders (orders)", "days (days)", "colour (colour)"}


def test_influence_of_one_customer_or_of_missing_values_is_drawn_too(influence: Influence) -> None:
    one = Influence(
        "money", (Column("orders", "int64", "orders", ""),), np.array([[np.nan]]), np.array([[0.0]])
    )
    assert one.section()[1] == "none"
    for figure in one.figures().values():
        figure.savefig(io.BytesIO())
