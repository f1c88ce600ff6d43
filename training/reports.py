"""What a question's answers showed about a shop's customers: leads by origin, early warning, common traits.

Everything is told of a model that was fitted on what was known at its test's moment, and of the time after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from features import lake, populations, segments
from features.calendar import day_of
from features.errors import PatronError
from features.home import Home
from features.snapshots import Built
from features.store import Store
from models.churn import churn
from models.leads import leads
from models.spec import CustomerModel
from models.subscription_churn import subscription_churn
from training import early_warning as warning
from training import in_common as common
from training import lead_quality as quality
from training.advise import visits
from training.dataset import KEYS, gather
from training.early_warning import BEFORE_THE_END, EarlyWarning, early_warning, endings, silences
from training.in_common import Common, in_common
from training.lead_quality import LeadQuality, lead_quality
from training.lookback import Lookback, look_back, scored

LEAVING = (churn.name, subscription_churn.name)  # questions of who leaves, which a warning answers early


@dataclass(frozen=True)
class Report:
    """What was found; what does not concern the model is empty.

    Attributes:
        tested_on: the day of the moment asked about, ISO 8601.
        rate: share of the customers asked about who had the outcome.
    """

    model: str
    question: str
    tested_on: str
    horizon_days: int
    customers: int
    rate: float
    in_common: tuple[Common, ...]
    lead_quality: tuple[LeadQuality, ...] = ()
    early_warning: tuple[EarlyWarning, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Everything, for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.model}: {self.question}"
        yield (
            f"{self.customers:,} customers asked about on {self.tested_on}, {self.horizon_days} days ahead,"
            f" of whom {self.rate:.1%} had the outcome. The model learnt only from before."
        )
        if self.lead_quality:
            yield f"\nLeads by origin\n{quality.table(self.lead_quality)}"
        if self.early_warning:
            lapsed = self.early_warning[0].lapsed
            yield f"\nHow early {lapsed:,} who lapsed were warned of\n{warning.table(self.early_warning)}"
        yield f"\nWhat those with the outcome have in common\n{common.table(self.in_common)}"


def report(home: Home, model: CustomerModel, built: Built, store: Store) -> Report:
    """Look back at a model's test, and tell what it showed.

    Raises:
        PatronError: the model tells amounts, or the history does not suffice.
    """
    if model.kind != "probability":
        raise PatronError(f"{model.name} tells amounts; a report is of a model that tells a probability")
    then = look_back(home, model, built, store)
    return Report(
        model.name,
        model.question,
        f"{then.parts.told_in(home.shop().time_zone).test:%Y-%m-%d}",
        then.parts.horizon_days,
        len(then.exam),
        float(then.exam["label"].mean()) if len(then.exam) else 0.0,
        in_common(then.exam, model.features),
        _lead_quality(home, then) if model.name == leads.name else (),
        _early_warning(home, built, store, then) if model.name in LEAVING else (),
    )


def _lead_quality(home: Home, then: Lookback) -> tuple[LeadQuality, ...]:
    backend = lake.connect()
    events, asked = lake.read(home, backend), then.exam[KEYS]
    moments = asked["as_of"].dt.tz_localize(None).astype("datetime64[us]")
    table = populations.population_table(backend, asked.assign(as_of=moments), home.shop().time_zone)
    source = quality.sources(events, table).to_pandas().set_index("customer_key")["source"]
    frame = then.exam.assign(source=then.exam["customer_key"].map(source))
    return lead_quality(frame, ["acquisition_channel", "source", "country"])


def _early_warning(home: Home, built: Built, store: Store, then: Lookback) -> tuple[EarlyWarning, ...]:
    shop = home.shop()

    def day(moment: datetime) -> int:
        return day_of(moment, shop.time_zone)

    frame = gather(home, store, then.model, then.later, then.parts.horizon_days, built.current).frame
    days = {pd.Timestamp(t): day(t) for t in then.later}
    said = scored(then.fitted, frame).assign(day=frame["as_of"].map(days))
    first, since, today = then.exam["score"].to_numpy(np.float64), day(then.parts.test), day(built.current)
    if then.model.name == subscription_churn.name:
        now = segments.everyone(built, built.current)
        watched = endings(now.loc[now.index.isin(then.exam["customer_key"])], since, today)
        return early_warning(said, watched, first, BEFORE_THE_END)
    orders = visits(lake.read(home, lake.connect()).known_at(built.current)).to_pandas()
    return early_warning(said, silences(orders, since, today), first)
