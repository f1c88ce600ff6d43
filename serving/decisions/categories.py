"""Scores of categories for decisions: the propensities that effects on categories change.

They are those of the promoted model of categories, as of its training: orders since then change them with the
next version.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import PatronError
from decisions.catalogue.actions import Actions
from decisions.context import ScoreInput
from decisions.values.categories import KIND, PROBABLE_CATEGORY, amount_name, score_name
from events.queries.customer_rows import of_customers
from models.registry.registry import Registry
from serving.scores.champion_watch import ChampionWatch, LazyChampion

if TYPE_CHECKING:
    from models.categories.published import CategoryRanking

MODEL = "category_propensity"
"""The model's name in the registry."""
Column: TypeAlias = NDArray[np.float64]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CategoryInputs:
    """What actions on categories read of some customers, in their order.

    Attributes:
        scores: by name of the score; NaN where there is none.
        amounts: by name of the fact, what an order of the category brings from it, in currency.
        refusals: by name of the score, the code of the reason for a missing one, else an empty text.
        most_probable: the customers' most probable categories; None where unknown.
        version: of the model; None if none is promoted. horizon_days: of its scores.
    """

    scores: Mapping[str, Column]
    amounts: Mapping[str, Column]
    refusals: Mapping[str, Sequence[str]]
    most_probable: Sequence[str | None]
    version: str | None = None
    horizon_days: int | None = None

    @property
    def horizons(self) -> dict[str, int]:
        """Days ahead, by name of the score."""
        return {} if self.horizon_days is None else dict.fromkeys(self.scores, self.horizon_days)

    def score_inputs(self, place: int) -> dict[str, ScoreInput]:
        """The scores of one of the customers, by name."""
        return {
            name: ScoreInput(
                None if np.isnan(column[place]) else float(column[place]),
                self.refusals[name][place] or None, self.version, self.horizon_days,
            )
            for name, column in self.scores.items()
        }  # fmt: skip

    def facts(self, place: int) -> dict[str, Any]:
        """The amounts, and the most probable category, of one of the customers."""
        amounts = {
            name: float(column[place]) for name, column in self.amounts.items() if np.isfinite(column[place])
        }
        return amounts | {PROBABLE_CATEGORY: self.most_probable[place]}


class CategoryScores:
    """Scores customers by the promoted model of categories. Threads may share it."""

    def __init__(self, watch: ChampionWatch) -> None:
        self._champion = LazyChampion(MODEL, watch, _open)
        self._lock = threading.Lock()

    def of(self, keys: Sequence[int], rules: Actions) -> CategoryInputs | None:
        """What the actions of a catalogue read of these customers; None if no action is on a category."""
        named = {action.effect.category for action in rules.actions if action.effect.on == KIND}
        if not named:
            return None
        try:
            with self._lock:
                ranking = self._champion.current()
        except PatronError as error:
            _log.warning("actions on categories are not offered: %s", error)
            return _nothing(named, len(keys), "no_category_model")
        return _inputs(ranking, np.array(keys, np.int64), named)


def _open(registry: Registry, version: str) -> CategoryRanking:
    from models.categories.published import open_version  # it imports LightGBM

    return open_version(registry, version)


def _inputs(ranking: CategoryRanking, keys: NDArray[np.int64], named: set[str | None]) -> CategoryInputs:
    known = set(ranking.history.categories["category"])
    wanted = None if None in named else tuple(sorted(name for name in named if name and name in known))
    rows = replace(ranking, categories=wanted).rank(np.unique(keys).tolist(), None).to_pandas()
    rows["amount"] = _amounts(ranking, rows)
    scores, amounts, refusals = {}, {}, {}
    ordered = ranking.history.has_ordered(keys)
    best = rows.drop_duplicates("customer_key").set_index("customer_key").reindex(keys)
    for category in named:
        part = best
        if category is not None:
            part = rows[rows["category"] == category].set_index("customer_key").reindex(keys)
        name = score_name(category)
        scores[name] = part["score"].to_numpy(np.float64)
        amounts[amount_name(category)] = part["amount"].to_numpy(np.float64)
        missing = "unknown_category" if category is not None and category not in known else ""
        refusals[name] = [missing or ("" if there else "no_category_orders") for there in ordered]
    most_probable = [None if pd.isna(name) else str(name) for name in best["category"]]
    return CategoryInputs(
        scores, amounts, refusals, most_probable if None in named else [None] * len(keys),
        ranking.version, ranking.horizon_days,
    )  # fmt: skip


def _amounts(ranking: CategoryRanking, rows: pd.DataFrame) -> Column:
    """What an order of the category brings from it, in currency, per row of customer and category.

    It is the customer's average, in which the average of all customers has the weight of one order.
    """
    own = of_customers(ranking.history.pairs, np.unique(rows["customer_key"]))
    own = own[["customer_key", "category", "spend", "orders_in_category"]]
    joined = rows[["customer_key", "category"]].merge(own, how="left", on=["customer_key", "category"])
    usual_of = joined["category"].map(ranking.history.usual_spend)
    spend, orders = joined["spend"].fillna(0.0), joined["orders_in_category"].fillna(0.0)
    amounts: Column = ((spend + usual_of) / (orders + 1)).to_numpy(np.float64)
    return amounts


def _nothing(named: set[str | None], count: int, why: str) -> CategoryInputs:
    """No scores, for one reason."""
    empty = np.full(count, np.nan)
    return CategoryInputs(
        {score_name(category): empty for category in named},
        {amount_name(category): empty for category in named},
        {score_name(category): [why] * count for category in named},
        [None] * count,
    )
