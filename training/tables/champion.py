"""Whether a new version of a table's model may replace the champion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from core.errors import PatronError
from models.registry.registry import Registry
from training.evaluation.compare import TestSet
from training.evaluation.promotion_checks import CHAMPION, OURS, Comparison, over_other_recipe
from training.tables.examination import Examination, examine
from training.tables.holdouts import Holdout
from training.tables.labelled import Labelled


def over_champion(
    registry: Registry, name: str, data: Labelled, holdout: Holdout, exam: Examination
) -> Comparison:
    """Whether a version trained on these columns may replace the champion.

    Tables do not identify their rows, so it is unknown which rows the champion was trained on. A version with
    the same columns therefore replaces it; the number and the size of trees is chosen again each time. Other
    columns must rank significantly better than the champion's columns, both fitted on the rows that are not
    held out.
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
    if types == data.understood.types:
        return Comparison(f"the same columns as version {champion}, refitted", True, {})
    if not types.items() <= data.understood.types.items():
        return Comparison(
            f"version {champion} uses columns that are left out now, so is not compared", True, {}
        )
    narrower = replace(data, understood=replace(data.understood, types=types))
    scores = {OURS: exam.score, CHAMPION: examine(name, narrower, holdout)[1].score}
    frame = pd.DataFrame({"customer_key": holdout.test, "label": data.y[holdout.test].astype(np.float64)})
    return over_other_recipe(data.kind, [TestSet("", (), frame, scores)], champion)
