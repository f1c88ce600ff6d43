"""Loads fitted estimators; ``parameters.json`` determines the kind."""

from __future__ import annotations

import json
from collections.abc import Mapping

from models.estimators.blend import FittedBlend
from models.estimators.trees import FittedTrees
from models.spec import Fitted


def open_fitted(files: Mapping[str, bytes]) -> Fitted:
    """A blend if the parameters name parts, else trees."""
    if "parts" in json.loads(files["parameters.json"]):
        return FittedBlend.from_files(files)
    return FittedTrees.from_files(files)
