"""The training rows of a customer model with external ids, for analyses outside Patron.

The rows, their labels and their split are those of :mod:`training.customers.pipeline`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from events import lake
from events.identity import Identity
from features.frames import typed
from features.groups import features_of
from features.offline import populations
from features.workspace import Workspace
from models.questions.labels import net_revenue_within
from models.questions.outcomes import KEYS, labels_of
from models.spec import CustomerModel
from training.customers.backtest import Preparation, prepare
from training.customers.dataset import meets

FIT, BETWEEN, TEST = "fit", "between", "test"


@dataclass(frozen=True)
class TrainingRows:
    """The rows of a model's training, a row per customer and moment.

    Attributes:
        frame: ``customer_id``, ``as_of`` (UTC), ``split``, ``eligible``, the features with the types of
            :mod:`features.frames`, ``label``, ``label_at_test`` and ``net_revenue``.

            - ``split``: ``fit`` for the moments that the tested model is fitted on, ``test`` for the one that
              it is tested at, ``between`` for those whose outcome was not known by then. The published model
              is fitted on the rows of all moments.
            - ``eligible``: whether the model applies to the customer. A model that is learned as its opposite
              is fitted on more rows, and tested on these.
            - ``label``: the outcome of the model's question as known now; amounts with outliers capped, as
              the fit sees them.
            - ``label_at_test``: the label of the tested model's fit, as known at the test; missing for rows
              that are not ``fit``.
            - ``net_revenue``: paid less refunded within the horizon, at least 0, in currency, uncapped.
        features: the features of the model, in the order of its columns.
        share: of the customers, whose rows these are; below 1 for a sample.
    """

    model: CustomerModel
    frame: pd.DataFrame
    features: tuple[str, ...]
    share: float = 1.0


def training_rows(workspace: Workspace, model: CustomerModel) -> TrainingRows:
    """The rows that training this model now would use; of many customers, those of a sample.

    Raises:
        PatronError: the history or the outcomes do not suffice; the message says what is missing.
    """
    prepared = prepare(workspace, model)
    data = prepared.data
    frame = typed(data.frame, features_of(workspace.home))
    frame = frame.merge(_labels_at_test(workspace, prepared), on=KEYS, how="left", validate="1:1")
    if prepared.complement:
        frame = frame.assign(label=1 - frame["label"], label_at_test=1 - frame["label_at_test"])
    frame = frame.merge(_net_revenue(workspace, prepared), on=KEYS, how="left", validate="1:1")
    fit = frame["as_of"].isin(list(prepared.split.fit))
    test = frame["as_of"] == prepared.split.test
    ids = Identity(workspace.home).ids(frame["customer_key"].unique().tolist())
    frame = frame.assign(
        customer_id=frame["customer_key"].map(ids),
        split=np.select([fit, test], [FIT, TEST], BETWEEN),
        eligible=meets(prepared.model.eligible, frame),
    )
    features = tuple(feature.name for feature in prepared.recipe.features)
    columns = ["customer_id", "as_of", "split", "eligible", *features]
    known = frame["customer_id"].notna()  # others were deleted since the build
    frame = frame.loc[known, [*columns, "label", "label_at_test", "net_revenue"]]
    share = 1.0 if data.sample is None else data.sample.share
    return TrainingRows(prepared.model, frame.reset_index(drop=True), features, share)


def _labels_at_test(workspace: Workspace, prepared: Preparation) -> pd.DataFrame:
    """The labels of the tested model's fit, as ``label_at_test``."""
    data, split = prepared.data, prepared.split
    fit = data.at(split.fit).frame[KEYS]
    labels = labels_of(workspace.home, data.model, data.horizon_days, fit, split.test)
    return labels.rename(columns={"label": "label_at_test"})


def _net_revenue(workspace: Workspace, prepared: Preparation) -> pd.DataFrame:
    """What each customer brought within the horizon, as ``net_revenue``."""
    data, backend = prepared.data, lake.backend_of(workspace.home)
    events = lake.read(workspace.home, backend).known_at(data.known_at)
    population = data.frame[KEYS].assign(as_of=data.frame["as_of"].dt.tz_localize(None))
    table = populations.population_table(backend, population, data.zone)
    revenue: pd.DataFrame = net_revenue_within(events, table, data.horizon_days).to_pandas()
    revenue["as_of"] = revenue["as_of"].astype("datetime64[us]").dt.tz_localize("UTC")
    return revenue.rename(columns={"label": "net_revenue"})
