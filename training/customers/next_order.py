"""Fits the shop's ordering rates, and tests their predictions of the next order against own rhythms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.calendar import day_of
from core.errors import PatronError
from features.workspace import Workspace
from models.btyd.bg_nbd import fit_bg_nbd
from models.estimator import Array
from models.questions.labels import days_until_order
from models.questions.next_order import HABITS, HORIZON_DAYS, Rates, own_rhythm, repeats
from models.spec import CustomerModel, Gate
from training.customers.dataset import gather
from training.customers.sample import CustomerSample

MIN_CUSTOMERS = 50  # for every measure
GATES = (
    Gate("next_order_over_own_rhythm_days", "it must come nearer than the customer's own rhythm", at_most=0),
    Gate("next_order_by_then", "about half are to have ordered by the day told", at_least=0.35, at_most=0.65),
)


@dataclass(frozen=True)
class NextOrderFit:
    """The result of the fit.

    Attributes:
        rates: None if the customers' own rhythm is better; ``why`` gives the reason.
        measures: by name, see :func:`measures_of`.
    """

    rates: Rates | None
    why: str
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NextOrderTest:
    """Predictions at a moment for customers who had ordered in the ``HORIZON_DAYS`` before, in days from it.

    Attributes:
        wait: the days until the next order; NaN if there was none within ``HORIZON_DAYS``.
        ours, rhythm: the predictions by the shop's rates and by own rhythms; NaN if there is none.
    """

    customers: NDArray[np.int64]
    wait: Array
    ours: Array
    rhythm: Array

    def of(self, rows: NDArray[np.bool_]) -> NextOrderTest:
        """The chosen customers."""
        return NextOrderTest(self.customers[rows], self.wait[rows], self.ours[rows], self.rhythm[rows])


def learn(workspace: Workspace, model: CustomerModel, months: Sequence[datetime]) -> NextOrderFit:
    """Fit on today's customers, and test on the latest month whose orders are known.

    Args:
        months: the monthly moments that have features.
    """
    zone = workspace.shop.time_zone
    today = day_of(workspace.snapshots.current, zone)
    known = [t for t in months if day_of(t, zone) + HORIZON_DAYS <= today]
    if not known:
        return NextOrderFit(None, f"no month's next {HORIZON_DAYS} days are known yet")
    model_of_days = replace(model, features=HABITS, label=days_until_order)
    now, sample = workspace.snapshots.current, CustomerSample.of(workspace.snapshots)
    frame = gather(workspace.store, model_of_days, known[-1:], HORIZON_DAYS, now, sample).frame
    try:
        measures = measures_of(predictions_for(fit(frame), frame))
        why = [words for gate in GATES if gate.metric in measures and (words := gate.refusal(measures))]
        if GATES[1].metric not in measures:
            why.append(f"fewer than {MIN_CUSTOMERS} customers ordered within {HORIZON_DAYS} days")
        if why:
            return NextOrderFit(None, "; ".join(why), measures)
        return NextOrderFit(
            fit(workspace.snapshots.everyone(workspace.snapshots.current)),
            "passed its gates",
            measures,
        )
    except PatronError as refusal:
        return NextOrderFit(None, str(refusal))


def fit(frame: pd.DataFrame) -> Rates:
    """Fit the rates to all customers in a frame of features who have ordered.

    Raises:
        PatronError: there are too few customers, or none of them ordered again.
    """
    orders, recency, tenure = _habits(frame[frame["orders_total"] > 0])
    fitted = fit_bg_nbd(repeats(orders, recency, tenure), tenure - recency, tenure)
    return Rates(fitted.r, fitted.alpha)


def predictions_for(rates: Rates, frame: pd.DataFrame) -> NextOrderTest:
    """The predictions for a frame of features whose ``label`` is the wait for the next order."""
    frame = frame[(frame["orders_total"] > 0) & (frame["recency_days"] <= HORIZON_DAYS)]
    orders, recency, tenure = _habits(frame)
    rhythm = own_rhythm(orders, recency, frame["median_gap_days"].to_numpy(np.float64, na_value=np.nan))
    return NextOrderTest(
        frame["customer_key"].to_numpy(np.int64),
        frame["label"].to_numpy(np.float64),
        rates.wait(orders, recency, tenure),
        np.where(rhythm >= 0, rhythm, np.nan),
    )


def measures_of(exam: NextOrderTest) -> dict[str, float]:
    """The errors of the predicted days, for customers who ordered within ``HORIZON_DAYS``.

    ``next_order_error_days`` is the mean absolute error, which the median of the wait minimises;
    ``next_order_by_then`` the share who had ordered by the predicted day, which should be half;
    ``…_own_rhythm_days`` and ``…_over_own_rhythm_days`` are about customers with a rhythm of their own.
    Measures of fewer than ``MIN_CUSTOMERS`` customers are left out.
    """
    measures: dict[str, float] = {}
    ordered = exam.of(~np.isnan(exam.wait))
    if len(ordered.wait) >= MIN_CUSTOMERS:
        measures["next_order_customers"] = float(len(ordered.wait))
        measures["next_order_error_days"] = error_days(ordered.wait, ordered.ours)
        measures["next_order_by_then"] = float((ordered.wait <= ordered.ours).mean())
    both = ordered.of(~np.isnan(ordered.rhythm))
    if len(both.wait) >= MIN_CUSTOMERS:
        measures["next_order_error_own_rhythm_days"] = error_days(both.wait, both.rhythm)
        measures["next_order_over_own_rhythm_days"] = (
            error_days(both.wait, both.ours) - measures["next_order_error_own_rhythm_days"]
        )
    return measures


def error_days(wait: Array, predicted: Array) -> float:
    """Mean absolute error."""
    return float(np.abs(wait - predicted).mean())


def _habits(frame: pd.DataFrame) -> tuple[Array, Array, Array]:
    orders, recency, tenure = (
        frame[name].to_numpy(np.float64) for name in ("orders_total", "recency_days", "tenure_days")
    )
    return orders, recency, tenure
