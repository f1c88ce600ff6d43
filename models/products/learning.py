"""Training of the ranking: whether a candidate was in the customer's next basket, at moments of the past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from core.calendar import date_of, midnight
from core.errors import PatronError
from models.estimators.trees import PARAMETERS
from models.products.assortment import Links, assortment
from models.products.candidates import COLUMNS, Candidates, candidates
from models.products.histories import histories
from models.products.purchases import Purchases

CUTS = 6
CUT_DAYS = 30  # between cuts, and within which a next basket counts
HISTORY_DAYS = 90  # before the earliest cut
CUSTOMERS = 4000  # of a cut, at most
CUSTOMERS_AT_ONCE = 500
MIN_BASKETS = 50  # next baskets for training, over all cuts
OTHERS = 0.25  # sampled share of the candidates that were never bought and are not in the basket
ROUNDS = 100
SETTINGS = PARAMETERS | {"objective": "binary", "num_leaves": 31, "min_data_in_leaf": 100}


@dataclass(frozen=True)
class Examples:
    """Candidates of the past.

    Attributes:
        x: a column per name of ``COLUMNS``.
        y: 1 if the product was in the customer's next basket, else 0.
        weight: the number of candidates that a row represents.
        baskets: the number of next baskets.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    baskets: int


def examples(purchases: Purchases, links: Links, seed: int = 0) -> Examples:
    """The candidates at up to ``CUTS`` moments before the purchases' ``as_of``, with their outcomes.

    Candidates and columns at a cut use only what was known by then. The outcome is the customer's first
    basket in the ``CUT_DAYS`` days from the cut on.

    Raises:
        PatronError: the history is too short, or too few customers came back.
    """
    rng = np.random.default_rng(seed)
    first_day = int(purchases.day.min())
    days = [purchases.as_of_day - CUT_DAYS * (i + 1) for i in range(CUTS)]
    days = [day for day in days if day - first_day >= HISTORY_DAYS]
    if not days:
        raise PatronError(
            f"products cannot be ranked: orders go back to {date_of(first_day)}, and training needs"
            f" {HISTORY_DAYS + CUT_DAYS} days before {date_of(purchases.as_of_day)}; import more history"
        )
    parts = [part for day in days for part in _at_cut(purchases, day, links, rng)]
    baskets = sum(part.baskets for part in parts)
    if baskets < MIN_BASKETS:
        raise PatronError(
            f"products cannot be ranked: {baskets} customers came back in the {CUT_DAYS * len(days)} days"
            f" before {date_of(purchases.as_of_day)}, and training needs {MIN_BASKETS}; import more orders"
        )
    x, y, weight = (np.concatenate([getattr(part, n) for part in parts]) for n in ("x", "y", "weight"))
    return Examples(x, y, weight, baskets)


def _at_cut(purchases: Purchases, day: int, links: Links, rng: np.random.Generator) -> Iterator[Examples]:
    """The examples of one cut, in batches of customers."""
    known = purchases.known_at(midnight(day, purchases.time_zone))
    after = purchases.first_baskets(day, day + CUT_DAYS)
    if not len(known.basket):
        return
    seen = histories(known)
    goods = assortment(known, seen, links)
    came = np.unique(after.customer)
    who = np.flatnonzero(np.isin(seen.customers.customer_key, purchases.customer_keys[came]))
    if len(who) > CUSTOMERS:
        who = np.sort(rng.choice(who, CUSTOMERS, replace=False))
    bought = np.unique(after.customer * seen.products + after.product)
    # Positions of customers in the histories differ from those in the purchases.
    customer = np.searchsorted(purchases.customer_keys, seen.customers.customer_key)
    for start in range(0, len(who), CUSTOMERS_AT_ONCE):
        part = who[start : start + CUSTOMERS_AT_ONCE]
        rows = candidates(part, seen, goods, purchases.category)
        right = np.isin(customer[rows.customer] * seen.products + rows.product, bought)
        yield _sampled(rows, right, len(part), rng)


def _sampled(
    drawn_from: Candidates, right: NDArray[np.bool_], baskets: int, rng: np.random.Generator
) -> Examples:
    """All candidates that were in the next basket or bought before, and a weighted sample of the others."""
    sure = right | drawn_from.bought
    sampled = sure | (rng.random(len(sure)) < OTHERS)
    weight = np.where(sure, 1, 1 / OTHERS)[sampled]
    return Examples(
        drawn_from.x[sampled], right[sampled].astype(np.float32), weight.astype(np.float32), baskets
    )


def learn(known: Examples) -> lgb.Booster:
    """Fit trees for the probability that a candidate is in the customer's next basket.

    The loss is the log loss of each candidate on its own: its probability is calibrated, and ranks the
    candidates (Robertson, 1977, the probability ranking principle).
    """
    data = lgb.Dataset(
        known.x, known.y, weight=known.weight, feature_name=list(COLUMNS), params={"verbosity": -1}
    )
    return lgb.train(SETTINGS, data, num_boost_round=ROUNDS)


def probabilities(booster: lgb.Booster, rows: Candidates) -> NDArray[np.float64]:
    """The probability of each candidate to be in the customer's next basket."""
    if not len(rows.x):  # LightGBM refuses an empty matrix
        return np.empty(0)
    return np.asarray(booster.predict(rows.x, num_threads=1), np.float64)
