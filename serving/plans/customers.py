"""The scores and features of many customers in columns, for a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.calendar import day_of
from decisions.catalogue.actions import Actions
from decisions.context import ScoreInput
from decisions.policies.zones import TRAIT
from decisions.values.formulas import features_read
from decisions.values.inputs import ValueInputs
from models.registry.bundle import FittedModel
from records.batches import AS_OF
from serving.decisions.categories import CategoryInputs, CategoryScores
from serving.decisions.contexts import facts_of
from serving.scores.batches.columns import score_columns
from serving.scores.scorer import Scorer


@dataclass(frozen=True)
class PlanCustomers:
    """Some customers of a shop.

    Attributes:
        categories: the scores of categories; None if no action reads them.
        table: as :func:`serving.scores.batches.columns.score_columns` returns it.
    """

    keys: NDArray[np.int64]
    table: pa.Table
    models: tuple[FittedModel, ...]
    categories: CategoryInputs | None = None

    def value_inputs(self, preferences: Mapping[str, NDArray[np.float64]]) -> ValueInputs:
        """What the values of actions are computed from.

        Args:
            preferences: by channel, how much more often than usual these customers respond on it.
        """
        horizons = {model.name: int(model.manifest["horizon_days"]) for model in self.models}
        scores = {model.name: _numbers(self.table[f"{model.name}.score"]) for model in self.models}
        facts = {
            name: _numbers(self.table[name]) for name in features_read() if name in self.table.column_names
        }
        if self.categories is not None:
            scores |= self.categories.scores
            horizons |= self.categories.horizons
            facts |= self.categories.amounts
        return ValueInputs(len(self.keys), scores, horizons, facts, preferences)

    def rule_table(self) -> pa.Table:
        """The features, and the scores by the model's name."""
        scores = {model.name: self.table[f"{model.name}.score"] for model in self.models}
        features = {name: self.table[name] for name in self.table.column_names if "." not in name}
        return pa.table(features | scores)

    def facts_days(self, zone: str, today: int) -> NDArray[np.int64]:
        """Per customer the shop's day of the features' moment; today for those without features."""
        micros = self.table[AS_OF].cast(pa.int64()).to_numpy(zero_copy_only=False)
        moments = np.where(np.isnan(micros.astype(np.float64)), -1, micros).astype(np.int64)
        unique, places = np.unique(moments, return_inverse=True)
        days = [today if m < 0 else day_of(datetime.fromtimestamp(m / 1e6, UTC), zone) for m in unique]
        return np.array(days, np.int64)[places]

    def rows(
        self, places: Sequence[int], rules: Actions
    ) -> Iterator[tuple[dict[str, ScoreInput], dict[str, Any], datetime | None]]:
        """Scores, features that decisions read, and the moment of the features, of these customers."""
        scores = [f"{model.name}.{part}" for model in self.models for part in ("score", "reason")]
        facts = [name for name in (*facts_of(rules), TRAIT) if name in self.table.column_names]
        columns = dict.fromkeys([AS_OF, *facts, *scores])
        rows = self.table.select([*columns]).take(np.array(places, np.int64)).to_pylist()
        for place, row in zip(places, rows, strict=True):
            inputs = {
                model.name: ScoreInput(
                    row[f"{model.name}.score"], row[f"{model.name}.reason"], model.version,
                    model.manifest["horizon_days"],
                )
                for model in self.models
            }  # fmt: skip
            if self.categories is not None:
                inputs |= self.categories.score_inputs(place)
                row |= self.categories.facts(place)
            yield inputs, row, row[AS_OF]


def read_customers(
    scorer: Scorer, categories: CategoryScores, keys: NDArray[np.int64], rules: Actions
) -> PlanCustomers:
    """The scores and features of customers, by the present champions; nothing is logged."""
    champions = scorer.champions
    models = tuple(champions.models.values())
    known = champions.everything.names
    wanted = [name for name in (*facts_of(rules), TRAIT) if name in known]
    names = dict.fromkeys([*(name for model in models for name in model.features), *wanted])
    reader = champions.store.patient_reader([*names])
    table = score_columns(models, keys, reader.columns(reader.fetch(keys.tolist())))
    return PlanCustomers(keys, table, models, categories.of(keys.tolist(), rules))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return np.where(np.isfinite(numbers), numbers, np.nan)
