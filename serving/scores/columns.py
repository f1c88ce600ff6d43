"""Scores of many customers in columns: features as Arrow arrays, scores as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.online.columns import OnlineColumns
from models.registry.bundle import FittedModel
from models.registry.encoding import column_matrix
from records.batches import AS_OF, BOUNDS, KEY


def score_columns(
    models: Sequence[FittedModel],
    keys: NDArray[np.int64],
    features: OnlineColumns,
    map_models: Callable[..., Iterable[Any]] = map,
) -> pa.Table:
    """The scores of customers, and the features that they are computed from, as the log stores them.

    Args:
        features: the features of ``keys``.
        map_models: calls a function for every model; the ``map`` of an executor does so in several threads.

    Returns:
        ``customer_key``, ``as_of`` (null if there are no features yet), the features, and per model
        ``MODEL.score``, ``MODEL.percentile`` and ``MODEL.reason``; of a model with intervals also
        ``MODEL.low`` and ``MODEL.high``.
    """
    columns: dict[str, Any] = {KEY: pa.array(keys), AS_OF: features.as_of.cast(pa.timestamp("us", "UTC"))}
    columns |= features.values
    unknown = features.as_of.is_null().to_numpy(zero_copy_only=False)
    matrices = {read: column_matrix(read, features.values) for read in {model.columns for model in models}}
    scored = map_models(lambda model: model.score_matrix(matrices[model.columns]), models)
    for model, scores in zip(models, scored, strict=True):
        reasons = model.column_refusals(features.values)
        none = unknown | reasons.is_valid().to_numpy(zero_copy_only=False)
        columns |= {
            f"{model.name}.score": pa.array(scores, mask=none),
            f"{model.name}.percentile": pa.array(np.round(model.percentiles(scores), 1), mask=none),
            f"{model.name}.reason": reasons,
        }
        if (bounds := model.interval(scores)) is not None:
            for side, bound in zip(BOUNDS, bounds, strict=True):
                columns[f"{model.name}.{side}"] = pa.array(bound, mask=none)
    return pa.table(columns)
