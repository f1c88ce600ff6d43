"""Reports on a model's backtest: leads by origin, early warning, shared traits, stability, unused features.

The model is fitted on the data known at the test's moment; the reports are about the time after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from core.calendar import day_of
from core.home import Home
from events import lake
from features.offline import populations
from features.workspace import Workspace
from models.questions.churn import churn
from models.questions.leads import leads
from models.questions.outcomes import KEYS
from models.questions.subscription_churn import subscription_churn
from models.spec import CustomerModel
from training.customers.backtest import Backtest, backtest, prepare, with_scores
from training.customers.dataset import gather
from training.reports import early_warning, in_common, lead_quality, stability
from training.reports.advise import visits
from training.reports.early_warning import (
    BEFORE_THE_END,
    EarlyWarning,
    days_before,
    endings,
    silences,
)
from training.reports.in_common import Common, shared_traits
from training.reports.lead_quality import LeadQuality
from training.reports.stability import Age

LEAVING = (churn.name, subscription_churn.name)  # the models with an early warning report


@dataclass(frozen=True)
class ModelReport:
    """The reports of a model; those that do not apply are empty.

    Attributes:
        tested_on: the day of the test's moment, ISO 8601.
        rate: the share of the customers with the outcome; for money, with any.
        stability: an older fit at each month until the test; empty if the history is too short.
        unused: features that the fit does not use.
    """

    model: str
    question: str
    kind: str
    baseline: str
    tested_on: str
    horizon_days: int
    customers: int
    rate: float
    in_common: tuple[Common, ...]
    lead_quality: tuple[LeadQuality, ...] = ()
    early_warning: tuple[EarlyWarning, ...] = ()
    stability: tuple[Age, ...] = ()
    unused: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The reports as JSON."""
        return asdict(self)

    def text(self) -> str:
        """The reports as text."""
        head = (
            f"{self.model}: {self.question}\n"
            f"{self.customers:,} customers tested on {self.tested_on}, {self.horizon_days} days ahead,"
            f" of whom {self.rate:.1%} had the outcome. The model was trained on earlier data only."
        )
        return "\n\n".join([head, *(f"{title}\n{text}" for title, text in self.sections())])

    def sections(self) -> Iterator[tuple[str, str]]:
        """Title and text of each report."""
        if self.lead_quality:
            yield "Leads by origin", lead_quality.table(self.lead_quality)
        if self.early_warning:
            lapsed = self.early_warning[0].lapsed
            yield (
                f"How early {lapsed:,} lapsed customers had a warning",
                early_warning.table(self.early_warning),
            )
        yield "What customers with the outcome have in common", in_common.table(self.in_common)
        aging = stability.table(self.kind, self.baseline, self.stability)
        yield "How an older fit performs as it ages", aging
        yield (
            "Features without effect on the score",
            ", ".join(self.unused) or "none: the fit uses all of them",
        )


def report(workspace: Workspace, model: CustomerModel) -> ModelReport:
    """Backtest a model, and report the results.

    Raises:
        PatronError: the history does not suffice.
    """
    return report_of(workspace, backtest(workspace, prepare(workspace, model)))


def report_of(workspace: Workspace, test: Backtest) -> ModelReport:
    """The reports of a backtest."""
    model, zone = test.model, workspace.shop.time_zone
    frame = test.frame.assign(label=(test.frame["label"] > 0).astype("float64"))
    days = test.split.horizon_days
    return ModelReport(
        model.name,
        model.question,
        model.kind,
        model.baselines[0].name,
        f"{test.split.in_time_zone(zone).test:%Y-%m-%d}",
        days,
        len(frame),
        float(frame["label"].mean()) if len(frame) else 0.0,
        shared_traits(frame, model.features),
        _lead_quality(workspace.home, test) if model.name == leads.name else (),
        _early_warning(workspace, test) if model.name in LEAVING else (),
        stability.ages(model.kind, model.baselines[0], days, test.older, zone),
        test.fitted.unused,
    )


def _lead_quality(home: Home, test: Backtest) -> tuple[LeadQuality, ...]:
    backend = lake.backend_of(home)
    events, population = lake.read(home, backend), test.frame[KEYS]
    moments = population["as_of"].dt.tz_localize(None).astype("datetime64[us]")
    table = populations.population_table(backend, population.assign(as_of=moments), home.shop().time_zone)
    source = lead_quality.sources(events, table).to_pandas().set_index("customer_key")["source"]
    frame = test.frame.assign(source=test.frame["customer_key"].map(source))
    return lead_quality.by_origin(frame, ["acquisition_channel", "source", "country"])


def _early_warning(workspace: Workspace, test: Backtest) -> tuple[EarlyWarning, ...]:
    zone, now = workspace.shop.time_zone, workspace.snapshots.current

    def day(moment: datetime) -> int:
        return day_of(moment, zone)

    lapse_days, sample = test.split.horizon_days, test.data.sample
    frame = gather(workspace.store, test.model, test.later, lapse_days, now, sample).frame
    days = {pd.Timestamp(t): day(t) for t in test.later}
    scores = with_scores(test.fitted, frame).assign(day=frame["as_of"].map(days))
    first, since, today = test.frame["score"].to_numpy(np.float64), day(test.split.test), day(now)
    if test.model.name == subscription_churn.name:
        customers = workspace.snapshots.everyone(now)
        watched = endings(customers.loc[customers.index.isin(test.frame["customer_key"])], since, today)
        return early_warning.by_threshold(scores, watched, first, BEFORE_THE_END)
    orders = visits(lake.read(workspace.home, lake.backend_of(workspace.home)).known_at(now)).to_pandas()
    watched = silences(orders, lapse_days, since, today)
    return early_warning.by_threshold(scores, watched, first, days_before(lapse_days))
