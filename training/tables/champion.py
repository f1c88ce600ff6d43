"""Whether a table's new version may take over from the one that answers now."""

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
    """Whether a version learnt from these columns may take over.

    Which rows a champion has seen is not known, as tables do not say where their rows come from. So what
    was learnt from the same columns takes over: how many trees there are, and how large, is chosen anew each
    time. Other columns must surely rank better than the champion's do, both learnt from the rows that are
    not held out.
    """
    champion = next((v.version for v in registry.versions(name) if v.champion), None)
    if champion is None:
        return Comparison("no version answers yet", True, {})
    try:
        theirs = registry.open(name, champion)
    except PatronError:
        return Comparison(f"version {champion} cannot answer any longer, so is not compared", True, {})
    if (theirs.manifest["target"], theirs.manifest["kind"]) != (data.target, data.kind):
        return Comparison(f"version {champion} answers another question, so is not compared", True, {})
    types = {column.name: column.dtype for column in theirs.columns}
    if types == data.understood.types:
        return Comparison(f"the same columns as version {champion}, learnt anew", True, {})
    if not types.items() <= data.understood.types.items():
        return Comparison(
            f"version {champion} reads columns that are left out now, so is not compared", True, {}
        )
    narrower = replace(data, understood=replace(data.understood, types=types))
    scores = {OURS: exam.score, CHAMPION: examine(name, narrower, holdout)[1].score}
    frame = pd.DataFrame({"customer_key": holdout.test, "label": data.y[holdout.test].astype(np.float64)})
    return over_other_recipe(data.kind, [TestSet("", (), frame, scores)], champion)
