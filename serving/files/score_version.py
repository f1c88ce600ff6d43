"""All customers scored by one published version, champion or not, into a file and not into the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.home import Home
from core.progress import Progress, silent
from events.identity import Identity
from features.workspace import Workspace
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from serving.files import tables, writing


def score_version(
    home: Home, name: str, version: str, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Score all customers of the current snapshot by a version into ``out`` (a file as in ``tables.KINDS``).

    The code of a user's estimator runs, as it does when the user trains with it. The columns are
    ``customer_id``, ``features_as_of``, ``MODEL``, ``MODEL_percentile``, ``MODEL_version`` and
    ``MODEL_reason``, which says why a customer has no score.

    Raises:
        PatronError: the version or the shop does not exist, or features changed since its training.
    """
    writing.check_place(out, tables.KINDS)
    progress("opening the model", 0.0)
    model = Registry(home).open(name, version, run_own_file=True)
    workspace = Workspace.build(home, progress)
    model.check_definitions(workspace.store.definitions())
    progress("scoring", 0.5)
    rows = _rows(workspace, model)
    tables.write(iter([rows]), out, home.shop().time_zone)
    progress("scoring", 1.0)
    return {"customers": rows.num_rows, "out": str(out), "model": name, "version": version}


def _rows(workspace: Workspace, model: FittedModel) -> pa.Table:
    everyone = workspace.snapshots.everyone(workspace.snapshots.current)
    values = {feature: everyone[feature].tolist() for feature in model.features}
    reasons = model.refusals(values)
    eligible = np.array([reason is None for reason in reasons])
    scores = np.where(eligible, model.score(values), np.nan)
    names = Identity(workspace.home).names(everyone.index.to_numpy(np.int64))
    table = pa.table(
        {
            "customer_id": names,
            "features_as_of": pa.array(
                [workspace.snapshots.current] * len(everyone), pa.timestamp("s", "UTC")
            ),
            model.name: pa.array(scores, from_pandas=True),
            f"{model.name}_percentile": pa.array(
                np.where(eligible, np.round(model.percentiles(scores), 1), np.nan), from_pandas=True
            ),
            f"{model.name}_version": pa.array([model.version] * len(everyone)),
            f"{model.name}_reason": pa.array(reasons, pa.string()),
        }
    )
    return table.filter(pc.is_valid(names))  # deleted customers have no id
