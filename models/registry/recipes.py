"""The recipe of a version (estimator and settings) in its manifest, to compare and to refit it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from models.estimator import Estimator
from models.estimators.contest import Blend
from models.estimators.own.estimator import OwnEstimator
from models.estimators.trees import CalibratedTrees, MoneyTrees


def _own(call: str, kind: str, file: str | None) -> Estimator | None:
    """A user's estimator of a library; None for one of a file, which is not run again."""
    return None if file else OwnEstimator(call, kind)


_ESTIMATORS: Mapping[str, Callable[..., Estimator | None]] = {
    "Blend": Blend,
    "CalibratedTrees": CalibratedTrees,
    "MoneyTrees": MoneyTrees,
    "OwnEstimator": _own,
}


def described(estimator: Estimator) -> dict[str, Any]:
    """An estimator's name and settings as JSON."""
    settings = json.loads(json.dumps(vars(estimator), default=repr))
    return {"name": type(estimator).__name__, "settings": settings}


def made(manifest: Mapping[str, Any]) -> Estimator | None:
    """The estimator of a published version; None if it is of a user's file, or not recorded."""
    recipe = manifest.get("estimator", {"name": ""})
    make = _ESTIMATORS.get(recipe["name"])
    return None if make is None else make(**recipe["settings"])


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two manifests have the same recipe: estimator, settings, features and their definitions.

    A version without a recorded estimator is assumed to have the same one.
    """
    estimators = {json.dumps(m["estimator"], sort_keys=True) for m in (one, other) if "estimator" in m}
    return len(estimators) < 2 and _features(one) == _features(other)


def same_question(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two manifests have the same question: horizon and eligibility."""
    return all(one[key] == other[key] for key in ("horizon_days", "eligible", "complement", "kind"))


def _features(manifest: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(column["name"], column["definition"]) for column in manifest["features"]}
