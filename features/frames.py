"""The types of features in frames and tables: fixed by the definitions, whatever the values are.

A whole number that is never missing is ``int64``. Other numbers are ``float64``, with NaN where they are
missing, as MLflow's signatures need them. Texts, and booleans of which some are missing, are objects.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from features.group import Feature


def is_integer(feature: Feature) -> bool:
    """Whether the feature is a whole number for every customer."""
    return feature.dtype == "int64" and feature.missing is not None


def typed(frame: pd.DataFrame, features: Mapping[str, Feature]) -> pd.DataFrame:
    """The frame with the types of its numeric features; other columns are unchanged.

    Args:
        features: by name, as in :func:`features.groups.features_of`.
    """
    known = {name: features[name] for name in map(str, frame) if name in features}
    numbers = {
        name: "int64" if is_integer(feature) else "float64"
        for name, feature in known.items()
        if feature.dtype in ("int64", "float64")
    }
    return frame.astype(numbers)


def arrow_table(frame: pd.DataFrame, features: Mapping[str, Feature]) -> pa.Table:
    """A typed frame as a table, null where values are missing; also columns without any value have a type.

    Other columns have the type of their values. Without pandas' metadata every reader sees the same types.
    """
    kinds = {"string": pa.string(), "boolean": pa.bool_()}
    numbers = {"int64": pa.int64(), "float64": pa.float64()}
    columns = {}
    for name, values in frame.items():
        known = features.get(str(name))
        kind = None if known is None else kinds.get(known.dtype) or numbers[str(values.dtype)]
        columns[str(name)] = pa.Array.from_pandas(values, type=kind)
    return pa.table(columns)
