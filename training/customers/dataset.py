"""The rows that a customer model is fitted on: customers at moments, with features and label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from core.calendar import day_of
from core.errors import PatronError
from events import lake
from features.catalogue.store import Store
from features.offline import populations
from models.estimator import Array, FitContext
from models.outcome_totals import OutcomeTotals
from models.questions.outcomes import KEYS, labels_of
from models.registry.encoding import Column, matrix, vocabulary
from models.spec import Condition, CustomerModel
from training.customers.outcome_totals import outcome_totals
from training.customers.sample import CustomerSample


@dataclass(frozen=True)
class Dataset:
    """Rows of customer_key, as_of, the model's features and the label, in the order of as_of and customer.

    Attributes:
        known_at: labels ignore events that happened or arrived after it.
        zone: the shop's time zone.
        current: the rows of ``known_at`` without labels; None if the dataset is not for a fit.
        totals: of the outcome over past windows; None if the dataset is not for a fit, or the model has none.
        definitions: hash of each feature's definition, by name.
        sample: whose rows these are, apart from ``current``; None if they are those of all customers.
    """

    model: CustomerModel
    horizon_days: int
    frame: pd.DataFrame
    known_at: datetime
    zone: str
    current: pd.DataFrame | None = None
    totals: OutcomeTotals | None = None
    definitions: Mapping[str, str] = field(default_factory=dict)
    sample: CustomerSample | None = None

    def at(self, as_ofs: Sequence[datetime]) -> Dataset:
        """The rows of these moments."""
        chosen = self.frame[self.frame["as_of"].isin(list(as_ofs))]
        return replace(self, frame=chosen.reset_index(drop=True))

    def fit_context(self, columns: Sequence[Column]) -> FitContext:
        """What the estimator needs to know of the rows.

        Args:
            columns: of the matrix; see :meth:`x`.
        """
        which, moments = pd.factorize(self.frame["as_of"])
        days = [day_of(moment.to_pydatetime(), self.zone) for moment in moments]
        names = tuple(f.name for f in self.model.features)
        today = day_of(self.known_at, self.zone)
        current = None if self.current is None or self.current.empty else _matrix(columns, self.current)
        return FitContext(
            names, np.array(days, np.int64)[which], self.horizon_days, today, current, self.totals
        )

    @property
    def y(self) -> Array:
        """The labels."""
        return self.frame["label"].to_numpy(np.float64)

    def columns(self) -> tuple[Column, ...]:
        """The model's features with the vocabularies of these rows."""
        return tuple(
            Column(
                f.name,
                f.dtype,
                f.unit,
                self.definitions[f.name],
                vocabulary(self.frame[f.name]) if f.dtype == "string" else (),
            )
            for f in self.model.features
        )

    def x(self, columns: Sequence[Column]) -> Array:
        """The features as a matrix of these columns."""
        return _matrix(columns, self.frame)

    def digest(self) -> str:
        """SHA-256 of the rows, features and labels, to about seven digits, and of the share of a sample.

        Floating-point sums depend on the order of the terms; the same data must have the same digest.
        """
        numbers = self.frame.select_dtypes("float64").columns
        frame = self.frame.astype(dict.fromkeys(numbers, "float32"))
        rows = pd.util.hash_pandas_object(frame, index=False).to_numpy()
        share = b"" if self.sample is None else repr(self.sample.share).encode()
        return hashlib.sha256(rows.tobytes() + share).hexdigest()


def gather(
    store: Store, model: CustomerModel, as_ofs: Sequence[datetime], horizon_days: int, known_at: datetime,
    sample: CustomerSample | None = None,
) -> Dataset:  # fmt: skip
    """The rows of all eligible customers, or those of a sample, as of the given stored snapshots.

    Labels of money are winsorized (:mod:`models.outliers`), so that one outlier does not distort the fit.

    Args:
        known_at: labels ignore events that happened or arrived after it.
    """
    if not as_ofs:
        zone = store.home.shop().time_zone
        return Dataset(model, horizon_days, pd.DataFrame(), known_at, zone, sample=sample)
    rows = _eligible(store, model, as_ofs, sample)
    return _labelled(store, model, horizon_days, rows, known_at, sample)


def gather_for_fit(
    store: Store, model: CustomerModel, as_ofs: Sequence[datetime], horizon_days: int, known_at: datetime,
    sample: CustomerSample | None = None,
) -> Dataset:  # fmt: skip
    """The same as :func:`gather`, with all customers of ``known_at`` and the totals of past windows.

    Args:
        known_at: the moment of the fit, a stored snapshot after ``as_ofs``.
    """
    if sample is None:
        rows = _eligible(store, model, [*as_ofs, known_at])
    else:
        rows = pd.concat([_eligible(store, model, as_ofs, sample), _eligible(store, model, [known_at])])
    return _for_fit(store, model, horizon_days, rows, known_at, sample)


def as_known(store: Store, data: Dataset, as_ofs: Sequence[datetime], known_at: datetime) -> Dataset:
    """The rows of some moments for a fit at an earlier time.

    The same as :func:`gather_for_fit`; the features are not read again, but of a sample for ``current``.

    Args:
        known_at: one of the moments of ``data``.
    """
    if data.sample is None:
        rows = data.at([*as_ofs, known_at]).frame.drop(columns="label")
    else:
        current = _eligible(store, data.model, [known_at])
        rows = pd.concat([data.at(as_ofs).frame.drop(columns="label"), current])
    return _for_fit(store, data.model, data.horizon_days, rows, known_at, data.sample)


def _eligible(
    store: Store, model: CustomerModel, as_ofs: Sequence[datetime], sample: CustomerSample | None = None
) -> pd.DataFrame:
    """The features of the eligible customers of each moment, or of those of a sample."""
    events, zone = lake.read(store.home, lake.backend_of(store.home)), store.home.shop().time_zone
    everyone = populations.everyone_at(events, as_ofs, zone)
    population = (everyone if sample is None else sample.of_population(everyone)).to_pandas()
    moments = population["as_of"].astype("datetime64[us]")
    features = dict.fromkeys([*(f.name for f in model.features), *(c.feature.name for c in model.eligible)])
    frame = store.historical(population.assign(as_of=moments.dt.tz_localize("UTC")), list(features))
    frame = frame[meets(model.eligible, frame)]
    frame["customer_key"] = frame["customer_key"].astype("int64")
    frame["as_of"] = frame["as_of"].astype("datetime64[us, UTC]")
    return frame


def meets(conditions: Sequence[Condition], frame: pd.DataFrame) -> pd.Series:
    """Whether all conditions hold, by row of a frame with their features; a missing value does not."""
    inside = pd.Series(True, frame.index)
    for condition in conditions:
        low, high = condition.at_least, condition.at_most
        values = frame[condition.feature.name]
        inside &= values.notna()
        inside &= values >= low if low is not None else True
        inside &= values <= high if high is not None else True
    return inside


def _for_fit(
    store: Store, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime,
    sample: CustomerSample | None,
) -> Dataset:  # fmt: skip
    """Rows with their labels, apart from those of ``known_at``, which have none yet."""
    is_current = rows["as_of"] == known_at
    data = _labelled(store, model, horizon_days, rows[~is_current], known_at, sample)
    current = rows[is_current].sort_values("customer_key").reset_index(drop=True)
    totals = outcome_totals(store.home, model, horizon_days, rows[KEYS], known_at, sample)
    return replace(data, current=current, totals=totals)


def _labelled(
    store: Store, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime,
    sample: CustomerSample | None,
) -> Dataset:  # fmt: skip
    """Rows with their labels as known at ``known_at``."""
    labels = labels_of(store.home, model, horizon_days, rows[KEYS], known_at)
    frame = rows.merge(labels, on=KEYS, validate="1:1").sort_values(["as_of", "customer_key"])
    zone, definitions = store.home.shop().time_zone, store.definitions()
    frame = frame.reset_index(drop=True)
    return Dataset(model, horizon_days, frame, known_at, zone, definitions=definitions, sample=sample)


def _matrix(columns: Sequence[Column], frame: pd.DataFrame) -> Array:
    return matrix(columns, {c.name: frame[c.name].tolist() for c in columns})


def check_enough(model: CustomerModel, data: Dataset) -> None:
    """Refuse to train on too few customers, too few outcomes of a kind, or orders without amounts.

    Raises:
        PatronError: the message says how many there are and how many are needed.
    """
    revenue = data.totals.shop if model.kind == "money" and data.totals is not None else {}
    if revenue and not any(revenue.values()):
        raise PatronError(
            f"{model.name} cannot be trained: no order of this shop has an amount; import a file with amounts"
        )
    advice = "import more history" if data.sample is None else "raise PATRON_TRAINING_ROWS"
    customers = data.frame["customer_key"].nunique() if len(data.frame) else 0
    if customers < model.minimum_customers:
        raise PatronError(
            f"{model.name} cannot be trained: {customers} customers have a known outcome and it"
            f" takes {model.minimum_customers}; {advice}"
        )
    with_outcome = int((data.y > 0).sum())
    fewer = min(with_outcome, len(data.y) - with_outcome) if model.kind == "probability" else with_outcome
    if fewer < model.minimum_outcomes:
        raise PatronError(
            f"{model.name} cannot be trained: {with_outcome} of {len(data.y)} outcomes are positive, and"
            f" it takes {model.minimum_outcomes} of each kind; use another --horizon or {advice}"
        )


def columns_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A frame's numbers and texts as lists by column, as models read them; moments are left out."""
    return {str(name): frame[name].tolist() for name in frame.select_dtypes(exclude="datetimetz")}
