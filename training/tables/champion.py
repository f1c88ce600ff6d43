"""Whether a new version of a table's model may replace the champion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from core.errors import PatronError
from models.estimators.own.definition import Definition
from models.estimators.own.estimator import OwnEstimator
from models.registry import recipes
from models.registry.registry import Registry
from training.evaluation.compare import TestSet
from training.evaluation.promotion_checks import CHAMPION, OURS, Comparison, over_other_recipe
from training.tables.configurations import OwnConfiguration
from training.tables.examination import Examination, examine
from training.tables.holdouts import Holdout
from training.tables.labelled import Labelled

ESTIMATOR = "estimator"
"""The key of a manifest with a user's estimator; versions of trees do not have it."""


def recipe_of(exam: Examination, kind: str) -> dict[str, Any] | None:
    """The user's estimator as its version's manifest records it; None for trees."""
    if not isinstance(exam.configuration, OwnConfiguration):
        return None
    return recipes.described(exam.configuration.estimator(kind))


def over_champion(
    registry: Registry, name: str, data: Labelled, holdout: Holdout, exam: Examination
) -> Comparison:
    """Whether a version trained on these columns may replace the champion.

    Tables do not identify their rows, so it is unknown which rows the champion was trained on. A version with
    the same columns and estimator therefore replaces it; the number and the size of trees is chosen again
    each time. Other columns or another estimator must rank significantly better than the champion's, both
    fitted on the rows that are not held out.
    """
    champion = next((v.version for v in registry.versions(name) if v.champion), None)
    if champion is None:
        return Comparison("there is no champion yet", True, {})
    try:
        theirs = registry.open(name, champion)
    except PatronError:
        return Comparison(f"version {champion} cannot be used any more, so is not compared", True, {})
    if (theirs.manifest["target"], theirs.manifest["kind"]) != (data.target, data.kind):
        return Comparison(f"version {champion} answers another question, so is not compared", True, {})
    types = {column.name: column.dtype for column in theirs.columns}
    recipe = theirs.manifest.get(ESTIMATOR)
    if types == data.understood.types and recipe == recipe_of(exam, data.kind):
        return Comparison(f"the same columns as version {champion}, refitted", True, {})
    if not types.items() <= data.understood.types.items():
        return Comparison(
            f"version {champion} uses columns that are left out now, so is not compared", True, {}
        )
    own = None
    if recipe is not None:
        made = recipes.made(theirs.manifest)
        if not isinstance(made, OwnEstimator):
            words = f"the recipe of version {champion} cannot be refitted, so the two cannot be compared"
            return Comparison(words, False, {})
        own = OwnConfiguration(Definition(made.call))
    narrower = replace(data, understood=replace(data.understood, types=types))
    scores = {OURS: exam.score, CHAMPION: examine(name, narrower, holdout, own)[1].score}
    frame = pd.DataFrame({"customer_key": holdout.test, "label": data.y[holdout.test].astype(np.float64)})
    return over_other_recipe(data.kind, [TestSet("", (), frame, scores)], champion)
