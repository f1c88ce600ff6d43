"""Scores of many customers in columns: features as Arrow arrays, scores as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.online.columns import OnlineColumns
from models.registry.bundle import FittedModel
from models.registry.encoding import column_matrix
from models.spec import Array
from records.batches import AS_OF, BOUNDS, KEY, ORDER_PARTS

Parts: TypeAlias = tuple[Array, Array] | None


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
        ``MODEL.low`` and ``MODEL.high``, and of one with two parts ``MODEL.probability_of_order`` and
        ``MODEL.amount_if_order``.
    """
    columns: dict[str, Any] = {KEY: pa.array(keys), AS_OF: features.as_of.cast(pa.timestamp("us", "UTC"))}
    columns |= features.values
    unknown = features.as_of.is_null().to_numpy(zero_copy_only=False)
    matrices = {read: column_matrix(read, features.values) for read in {model.columns for model in models}}

    def score(model: FittedModel) -> tuple[Array, Parts, Parts]:
        x = matrices[model.columns]
        scores = model.score_matrix(x)
        parts = model.parts(x, scores)
        return scores, model.interval(scores, parts), parts

    for model, (scores, *amounts) in zip(models, map_models(score, models), strict=True):
        reasons = model.column_refusals(features.values)
        none = unknown | reasons.is_valid().to_numpy(zero_copy_only=False)
        columns |= {
            f"{model.name}.score": pa.array(scores, mask=none),
            f"{model.name}.percentile": pa.array(np.round(model.percentiles(scores), 1), mask=none),
            f"{model.name}.reason": reasons,
        }
        for fields, pair in zip((BOUNDS, ORDER_PARTS), amounts, strict=True):
            for field, values in zip(fields, pair or (), strict=False):
                columns[f"{model.name}.{field}"] = pa.array(values, mask=none)
    return pa.table(columns)
