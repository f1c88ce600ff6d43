"""Forecasts of a recipe at every month start with a known outcome, each by a version of that moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from core.calendar import date_of, day_of
from events import lake
from features.offline import populations
from features.workspace import Workspace
from models.estimator import Array
from models.estimators.intervals import coverages
from models.estimators.level import YEAR_DAYS
from models.measures import metrics
from models.registry.encoding import days_of
from models.spec import CustomerModel
from training.customers.backtest import fit, recipe_of
from training.customers.dataset import Dataset, columns_of, gather, gather_for_fit
from training.customers.order_probability import parts_of, with_order
from training.customers.split import MIN_FIT_MOMENTS
from training.evaluation.evaluate import MEASURES


@dataclass(frozen=True)
class Forecast:
    """The customers of a month start, scored by a version of that moment.

    Attributes:
        predicted, actual: the totals of all customers over the horizon.
        naive: money: what the same customers brought in as many days before. Probabilities: the rate of the
            last month start whose outcome was known, times the customers.
        slope: of the calibration.
        coverage: the share of outcomes within their intervals, of all and of the tenth with the highest
            scores; None for probabilities.
        after_a_year: whether the same window a year before, and the one before it, are in the history.
    """

    day: date
    predicted: float
    actual: float
    naive: float
    slope: float
    coverage: tuple[float, float] | None
    after_a_year: bool

    @property
    def error(self) -> float:
        """The logarithm of predicted over actual."""
        return float(np.log(self.predicted / self.actual))

    @property
    def naive_error(self) -> float:
        """The logarithm of naive over actual."""
        return float(np.log(self.naive / self.actual))


def forecasts(workspace: Workspace, model: CustomerModel) -> list[Forecast]:
    """The forecasts of a model at its horizon; none if the history is too short."""
    zone, now, days = workspace.shop.time_zone, workspace.snapshots.current, model.horizon_days
    months = _months(workspace)
    recipe, complement = recipe_of(model)
    made = []
    for moment in months:
        known = _known(months, moment, days, zone)
        if len(known) < MIN_FIT_MOMENTS or day_of(moment, zone) + days > day_of(now, zone):
            continue
        data = gather_for_fit(workspace.store, recipe, known, days, moment)
        if not _is_enough(model, data):
            continue
        fitted = with_order(workspace.home, data, fit(data, complement, "benchmark"))
        test = gather(workspace.store, model, [moment], days, now)
        if not test.y.sum():
            continue
        score = fitted.score(columns_of(test.frame))
        interval = fitted.interval(score, parts_of(fitted, test.frame.assign(score=score)))
        covered = None
        if interval is not None:
            both = coverages(test.y, score, *interval)
            covered = both["interval_coverage"], both["interval_coverage_top_decile"]
        day = day_of(moment, zone)
        first = _first_day(workspace)
        made.append(
            Forecast(
                date_of(day), float(score.sum()), float(test.y.sum()),
                _naive(workspace, model, data, test, known[-1]),
                MEASURES[model.kind]["calibration_slope"](test.y, score), covered,
                day - YEAR_DAYS - days >= first,
            )
        )  # fmt: skip
    return made


def own_months(workspace: Workspace, model: CustomerModel) -> Array:
    """Predicted over actual total, at each month that the version of today was fitted to."""
    data = data_of_today(workspace, model)
    if data is None:
        return np.zeros(0)
    fitted = fit(data, recipe_of(model)[1], "benchmark")
    now, days = workspace.snapshots.current, model.horizon_days
    own = gather(workspace.store, model, _known_months(workspace, days), days, now)
    scores = fitted.score(columns_of(own.frame), days_of(own.frame["as_of"]))
    which = own.frame["as_of"].to_numpy()
    ratios = [
        metrics.total_ratio(own.y[which == moment], scores[which == moment]) for moment in np.unique(which)
    ]
    return np.array([ratio for ratio in ratios if np.isfinite(ratio)])


def data_of_today(workspace: Workspace, model: CustomerModel) -> Dataset | None:
    """The rows of a fit of today; None if the history is too short."""
    now, days = workspace.snapshots.current, model.horizon_days
    known = _known_months(workspace, days)
    data = gather_for_fit(workspace.store, recipe_of(model)[0], known, days, now)
    return data if len(known) >= MIN_FIT_MOMENTS and _is_enough(model, data) else None


def _known_months(workspace: Workspace, days: int) -> list[datetime]:
    return _known(_months(workspace), workspace.snapshots.current, days, workspace.shop.time_zone)


def _first_day(workspace: Workspace) -> int:
    """The first day of the history, counted from 1970-01-01."""
    first = lake.metadata(workspace.home).first_day
    assert first is not None
    return first


def _months(workspace: Workspace) -> list[datetime]:
    stored = set(workspace.snapshots.as_ofs)
    return [moment for moment in populations.origins(workspace.home) if moment in stored]


def _known(months: list[datetime], moment: datetime, days: int, zone: str) -> list[datetime]:
    return [t for t in months if day_of(t, zone) + days <= day_of(moment, zone)]


def _is_enough(model: CustomerModel, data: Dataset) -> bool:
    positive = int((data.y > 0).sum())
    fewer = min(positive, len(data.y) - positive) if model.kind == "probability" else positive
    customers = data.frame["customer_key"].nunique()
    return fewer >= model.minimum_outcomes and customers >= model.minimum_customers


def _naive(
    workspace: Workspace, model: CustomerModel, data: Dataset, test: Dataset, last_known: datetime
) -> float:
    if model.kind == "money" and data.totals is not None:
        return data.totals.before[day_of(data.known_at, data.zone)]
    before = gather(workspace.store, model, [last_known], data.horizon_days, data.known_at)
    return float(before.y.mean() * len(test.y))
