"""The probability that a customer orders from a category soon: fitting and scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from models.categories.history import UNITS
from models.estimator import Array
from models.estimators.blend import BlendPart, FittedBlend
from models.estimators.line import fit_line
from models.estimators.trees import PARAMETERS, Trees, grow
from models.registry.bundle import FittedModel, digest
from models.registry.encoding import Column, column_matrix, vocabulary

NAME = "category_propensity"
"""The model's name in the registry."""
MEANING = "probability of at least one order with something of the category within {days} days"
HORIZON_DAYS = 30
ROUNDS = 150
SETTINGS: Mapping[str, Any] = PARAMETERS | {
    "objective": "binary", "num_leaves": 7, "min_data_in_leaf": 200, "learning_rate": 0.06, "lambda_l2": 10.0,
}  # fmt: skip
LINE = (
    "share_of_orders_in_category", "share_of_orders_fading", "share_of_lines_in_category",
    "category_popularity_90d", "category_popularity_year_ago", "orders_total", "orders_365d", "orders_90d",
    "orders_fading", "recency_days", "tenure_days",
)  # fmt: skip
"""The columns that the regression uses."""
LINE_WEIGHT = 0.3
_MEANING = 1  # increase it when the meaning of a column changes


def columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns of the model, with the categories in these rows."""
    return tuple(
        Column(
            name,
            "string" if name == "category" else "float64",
            unit,
            definition(name),
            vocabulary(frame[name]) if name == "category" else (),
        )
        for name, unit in UNITS.items()
    )


def definition(name: str) -> str:
    """The hash of a column's meaning."""
    return digest(f"{NAME} {_MEANING} {name}".encode())


def fit(frame: pd.DataFrame, version: str = "1") -> FittedModel:
    """Fit the model to ``label`` (1 or 0).

    The model is a weighted sum of trees and a regression, on the scale of log-odds. Both minimise the log
    loss, so no calibration is applied; a test by time measures how well calibrated they are.
    """
    read = columns(frame)
    x = column_matrix(read, _arrays(frame))
    categorical = [i for i, column in enumerate(read) if column.dtype == "string"]
    y = frame["label"].to_numpy(np.float64)
    trees = Trees(grow(dict(SETTINGS), ROUNDS, x, y, categorical))
    line = fit_line("logistic", x, [i for i, column in enumerate(read) if column.name in LINE], y)
    parts = {"trees": BlendPart(trees, 1 - LINE_WEIGHT), "line": BlendPart(line, LINE_WEIGHT)}
    fitted = FittedBlend("probability", parts, slope=1.0, intercept=0.0)
    manifest = {
        "model": NAME,
        "features": [asdict(column) for column in read],
        "eligible": [],
        "complement": False,
    }
    return FittedModel(version, manifest, fitted, {})


def score(model: FittedModel, frame: pd.DataFrame) -> Array:
    """The probability that each row's customer orders from its category.

    A category that appeared after training is scored by the other columns alone.
    """
    return model.score_matrix(column_matrix(model.columns, _arrays(frame)))


def _arrays(frame: pd.DataFrame) -> dict[str, pa.Array]:
    return {name: pa.array(frame[name], from_pandas=True) for name in UNITS}
