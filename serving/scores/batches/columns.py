"""Scores of many customers as an Arrow table, with the features that they are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.online.columns import OnlineColumns
from models.registry.bundle import FittedModel
from records.batches import AS_OF, KEY
from serving.scores.batches.model_scores import scores_of_models


def score_columns(
    models: Sequence[FittedModel], keys: NDArray[np.int64], features: OnlineColumns
) -> pa.Table:
    """The scores of customers, and the features that they are computed from.

    Args:
        features: the features of ``keys``.

    Returns:
        ``customer_key``, ``as_of`` (null if there are no features yet), the features, and per model
        ``MODEL.score``, ``MODEL.percentile`` and ``MODEL.reason``; of a model with intervals also
        ``MODEL.low`` and ``MODEL.high``, and of one with two parts ``MODEL.probability_of_order`` and
        ``MODEL.amount_if_order``.
    """
    columns = columns_of_features(keys, features)
    unknown = features.as_of.is_null().to_numpy(zero_copy_only=False)
    for scores in scores_of_models(models, features.values, unknown):
        name = scores.model.name
        columns |= {
            f"{name}.{field}": pa.array(values, mask=scores.none) for field, values in scores.numbers.items()
        }
        columns[f"{name}.reason"] = scores.reasons
    return pa.table(columns)


def columns_of_features(keys: NDArray[np.int64], features: OnlineColumns) -> dict[str, Any]:
    """``customer_key``, ``as_of`` and the features."""
    as_of = features.as_of.cast(pa.timestamp("us", "UTC"))
    return {KEY: pa.array(keys), AS_OF: as_of, **features.values}
