"""Loads fitted estimators; ``parameters.json`` determines the kind."""

from __future__ import annotations

import json
from collections.abc import Mapping

from models.estimator import Fitted
from models.estimators.blend import FittedBlend
from models.estimators.own.fitted import KEY as OWN_KEY
from models.estimators.own.fitted import FittedOwn
from models.estimators.target_encoding import KEY, FittedTargetEncodedTrees
from models.estimators.trees import FittedTrees


def open_fitted(files: Mapping[str, bytes], run_own_file: bool = False) -> Fitted:
    """A blend if the parameters name parts, a user's estimator, or trees, with encoded columns if named.

    Args:
        run_own_file: whether the code of a user's estimator may run.

    Raises:
        PatronError: a user's estimator cannot be loaded, or only by its code, which may not run.
    """
    parameters = json.loads(files["parameters.json"])
    if OWN_KEY in parameters:
        return FittedOwn.from_files(files, run_own_file)
    if "parts" in parameters:
        return FittedBlend.from_files(files)
    if KEY in parameters:
        return FittedTargetEncodedTrees.from_files(files)
    return FittedTrees.from_files(files)
