"""The outcomes of customers at moments, as a model's label defines them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from core.home import Home
from events import lake
from features.offline import populations
from models.outliers import winsorized
from models.spec import CustomerModel

KEYS = ["customer_key", "as_of"]


def labels_of(
    home: Home, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime
) -> pd.DataFrame:
    """The columns of ``KEYS`` and ``label`` for customers at moments; money is winsorized.

    Args:
        rows: the columns of ``KEYS``. known_at: events that happened or arrived after it are ignored.
    """
    zone, backend = home.shop().time_zone, lake.backend_of(home)
    events = lake.read(home, backend).known_at(known_at)
    population = rows.assign(as_of=rows["as_of"].dt.tz_localize(None))
    table = populations.population_table(backend, population, zone)
    labels: pd.DataFrame = model.label(events, table, horizon_days).to_pandas()
    labels["as_of"] = labels["as_of"].astype("datetime64[us]").dt.tz_localize("UTC")
    if model.kind == "money":
        labels["label"] = winsorized(labels["label"].to_numpy(np.float64))
    return labels
