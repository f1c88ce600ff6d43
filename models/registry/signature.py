"""MLflow's description of a bundle: its columns, and how ``mlflow.pyfunc`` opens it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.frames import is_integer
from features.group import Feature
from models.registry.bundle import MANIFEST

_TYPES = {"int64": "double", "float64": "double", "string": "string", "boolean": "boolean"}


def write_signature(
    folder: Path, files: Mapping[str, bytes], run_id: str, features: Mapping[str, Feature]
) -> None:
    """Write MLflow's ``MLmodel``; MLflow's page shows its signature as inputs and outputs.

    It also lets ``mlflow.pyfunc.load_model`` open the bundle; serving does not use it.

    Args:
        features: those of the shop, by name.
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    manifest = json.loads(files[MANIFEST])
    columns = [
        ColSpec(DataType[_type_of(c, features)], c["name"], required=False) for c in manifest["features"]
    ]
    if "past" in json.loads(files.get("parameters.json", b"{}")):
        # MLflow's datetime refuses moments with a time zone.
        columns.append(ColSpec(AnyType(), "as_of", required=False))
    inputs = Schema(columns)
    signature = ModelSignature(inputs, Schema([ColSpec(DataType.double, "score")]))
    flavors = {
        "python_function": {"loader_module": "models.pyfunc", "python_version": platform.python_version()}
    }
    Model(run_id=run_id, flavors=flavors, signature=signature).save(str(folder / "MLmodel"))


def _type_of(column: Mapping[str, Any], features: Mapping[str, Feature]) -> str:
    """MLflow's type of a column; the same as in :mod:`features.frames`.

    MLflow rejects missing values in a column of integers, so only features that are never so are ``long``.
    A column of a company's own table may have the name of a feature, but not its unit.
    """
    feature = features.get(column["name"])
    integer = feature is not None and is_integer(feature) and feature.unit == column["unit"]
    return "long" if integer else _TYPES[column["dtype"]]
