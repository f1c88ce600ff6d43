"""Tenths of the customers by score: calibration, and where the money is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.estimator import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TENTHS = 10
PAST_SPEND = "spend_365d"
"""The feature that says what money the outcome of a customer is about, if the outcome itself is not money."""
MONEY = {
    "money": "Money: the outcome.",
    "probability": "Money: what the customers with the outcome spent in the 365 days before.",
}
"""The meaning of money by kind of outcome."""
_OURS, _AIDS = "tab:blue", "grey"


@dataclass(frozen=True)
class Tenth:
    """A tenth of the customers by score.

    Attributes:
        predicted: mean score.
        actual: mean outcome.
        money: the total of :func:`money_of` its customers; None if that is unknown.
    """

    customers: int
    predicted: float
    actual: float
    money: float | None


def money_of(kind: str, frame: pd.DataFrame) -> Array | None:
    """The money of each customer's outcome: the outcome itself, or what those with it spent before.

    For a probability it is the spend of the 365 days before of the customers with the outcome, and 0 of the
    others: the revenue that would be lost, if the outcome is churn. None if that feature is not there.
    """
    outcome = frame["label"].to_numpy(np.float64)
    if kind == "money":
        return outcome
    if PAST_SPEND not in frame:
        return None
    money: Array = outcome * frame[PAST_SPEND].fillna(0).to_numpy(np.float64)
    return money


def tenths_of(kind: str, frame: pd.DataFrame, score: Array) -> tuple[Tenth, ...]:
    """The tenths, the best scores first; equal scores are divided by the order of the rows."""
    outcome, money = frame["label"].to_numpy(np.float64), money_of(kind, frame)
    order = np.argsort(-score, kind="stable")
    return tuple(
        Tenth(
            len(rows),
            float(score[rows].mean()),
            float(outcome[rows].mean()),
            None if money is None else float(money[rows].sum()),
        )
        for rows in np.array_split(order, min(TENTHS, len(order)))
    )


def money_lift(tenths: Sequence[Tenth]) -> list[float] | None:
    """The money per customer of each tenth, as a multiple of that of all; None without any money."""
    amounts = [tenth.money for tenth in tenths if tenth.money is not None]
    total, customers = sum(amounts), sum(tenth.customers for tenth in tenths)
    if len(amounts) < len(tenths) or total <= 0:
        return None
    return [a / t.customers / (total / customers) for a, t in zip(amounts, tenths, strict=True)]


def table_of(kind: str, tenths: Sequence[Tenth]) -> list[str]:
    """The tenths as lines of a Markdown table, and the meaning of its money."""
    lifts = money_lift(tenths)
    head = ["tenth by score", "customers", "predicted", "actual", "actual / predicted"]
    rows = [
        [
            f"{place}", f"{tenth.customers:,}", f"{tenth.predicted:.4g}", f"{tenth.actual:.4g}",
            f"{tenth.actual / tenth.predicted:.2f}" if tenth.predicted else "",
        ]
        for place, tenth in enumerate(tenths, 1)
    ]  # fmt: skip
    if lifts is not None:
        head += ["money", "share of it so far", "lift in money"]
        amounts = np.array([tenth.money for tenth in tenths], np.float64)
        shares = amounts.cumsum() / amounts.sum()
        for row, amount, share, lift in zip(rows, amounts, shares, lifts, strict=True):
            row += [f"{amount:,.0f}", f"{share:.0%}", f"{lift:.2f}"]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return lines if lifts is None else [*lines, "", MONEY[kind]]


def figures(tenths: Sequence[Tenth]) -> dict[str, Figure]:
    """Bars of :func:`money_lift` by tenth; nothing without any money."""
    lifts = money_lift(tenths)
    if lifts is None:
        return {}
    from matplotlib.figure import Figure  # late, since listing models draws nothing

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    places = range(1, len(tenths) + 1)
    axes.bar(places, lifts, color=_OURS)
    axes.axhline(1, color=_AIDS, linewidth=1, label="all customers")
    axes.set_xticks(list(places))
    axes.set(
        xlabel="tenth of customers, best score first",
        ylabel="money per customer, as a multiple of the mean",
        title="Lift in money",
    )
    axes.legend()
    return {"lift_in_money": figure}
