"""The scores of many customers by one model, as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.estimator import Array
from models.registry.bundle import FittedModel
from models.registry.encoding import column_matrix
from records.batches import BOUNDS, ORDER_PARTS


@dataclass(frozen=True)
class ModelScores:
    """The scores of customers by a model.

    Attributes:
        numbers: per field, such as ``score``, ``percentile`` and ``low``, a value of each customer.
        none: which customers have no score; their values are arbitrary.
        reasons: per customer why a model refuses them; null for the others, and for those without features.
    """

    model: FittedModel
    numbers: Mapping[str, Array]
    none: NDArray[np.bool_]
    reasons: pa.DictionaryArray


def scores_of_models(
    models: Sequence[FittedModel],
    features: Mapping[str, pa.Array],
    unknown: NDArray[np.bool_],
    map_models: Callable[..., Iterable[Any]] = map,
) -> list[ModelScores]:
    """The scores of customers by each model.

    Args:
        features: by name, a value of each customer.
        unknown: which customers have no features.
        map_models: calls a function for every model; the ``map`` of an executor does so in several threads.
    """
    matrices = {columns: column_matrix(columns, features) for columns in {model.columns for model in models}}

    def of_model(model: FittedModel) -> ModelScores:
        x = matrices[model.columns]
        scores = model.score_matrix(x)
        parts = model.parts(x, scores)
        reasons = model.column_refusals(features)
        numbers = {"score": scores, "percentile": np.round(model.percentiles(scores), 1)}
        for fields, pair in ((BOUNDS, model.interval(scores, parts)), (ORDER_PARTS, parts)):
            numbers |= zip(fields, pair or (), strict=False)
        none = unknown | reasons.is_valid().to_numpy(zero_copy_only=False)
        return ModelScores(model, numbers, none, reasons)

    return list(map_models(of_model, models))
