"""The predicted totals of a score job of all customers: computed when the job ends, and stored with it.

``totals.json`` in the job's folder has the totals of the shop and of each segment. A customer is in the
segments of the last build before the job's end, whose features the scores describe. So requests read a small
file, however many customers there are.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import files
from core.errors import PatronError
from features.offline.current import CurrentSnapshot, load_current
from features.offline.segment_overview import KINDS
from models.estimator import Array
from models.registry.bundle import FittedModel
from records.batches import KEY
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.totals.measures import MEASURES, MODEL_NAMES, Measure, predicted_outcomes
from serving.totals.outcomes import Outcomes, Total, totals

_FILE = "totals.json"
_log = logging.getLogger(__name__)


def write(store: ScoreJobStore, job: ScoreJob, models: Sequence[FittedModel]) -> None:
    """Compute and store the totals of a job whose parts are all written, unless it is of a segment.

    Without a build there are no segments: nothing is stored, and the reason is logged.

    Args:
        models: the versions that scored.
    """
    by_name = {model.name: model for model in models if model.name in MODEL_NAMES}
    if job.segment is not None or not by_name:
        return
    try:
        content = compute(store, job, by_name)
    except PatronError as error:
        _log.warning("the totals of the job %s were not computed: %s", job.id, error)
        return
    files.replace(_path(store, job), json.dumps(content))


def read(store: ScoreJobStore, job: ScoreJob) -> dict[str, Any] | None:
    """The stored totals of a job; None if it has none."""
    try:
        content: dict[str, Any] = json.loads(_path(store, job).read_text())
    except FileNotFoundError:
        return None
    return content


def compute(store: ScoreJobStore, job: ScoreJob, models: Mapping[str, FittedModel]) -> dict[str, Any]:
    """The totals of each measure whose models scored: of the ``shop``, and by kind and segment.

    Raises:
        PatronError: nothing was built yet, or it cannot be read.
    """
    snapshot = load_current(store.home)
    keys, scores = _scores(store, job, [*models])
    predicted = {name: _of_all(models[name], scores[name]) for name in models}
    groups = _Groups(snapshot, keys)
    measures = {
        measure.name: _measured(measure, predicted, groups)
        | {"horizons": {name: int(models[name].manifest["horizon_days"]) for name in measure.models}}
        for measure in MEASURES
        if all(name in models for name in measure.models)
    }
    return {"segments_as_of": snapshot.as_of.isoformat(), "measures": measures}


def _of_all(model: FittedModel, scores: Array) -> Outcomes:
    """The outcomes that a version predicts, of all customers; NaN without a score."""
    scored = ~np.isnan(scores)
    rows = np.where(scored, np.cumsum(scored) - 1, -1)
    return predicted_outcomes(model, scores[scored]).at(rows)


def _measured(measure: Measure, predicted: Mapping[str, Outcomes], groups: _Groups) -> dict[str, Any]:
    """The totals of the shop, and by kind and segment."""
    outcomes = measure.combine(*(predicted[name] for name in measure.models))
    (shop,) = totals(outcomes, np.zeros(len(outcomes.expected), np.int64), 1)
    segments = {}
    for kind in groups.kinds:
        names, group = groups.of(kind)
        by_segment = totals(outcomes, group, len(names))
        segments[kind] = dict(zip(names, map(_as_json, by_segment), strict=True))
    return {"shop": _as_json(shop), "segments": segments}


def _as_json(total: Total) -> dict[str, Any]:
    """A total with two decimals."""
    return {name: None if value is None else round(value, 2) for name, value in asdict(total).items()}


def _scores(
    store: ScoreJobStore, job: ScoreJob, names: Sequence[str]
) -> tuple[NDArray[np.int64], dict[str, Array]]:
    """The customers of a job, and their scores by model; NaN where there is none."""
    columns = [KEY, *(f"{name}.score" for name in names)]
    table = pa.concat_tables(
        pq.read_table(store.part(job, chunk), columns=columns) for chunk in range(job.chunks)
    )
    by_name = {name: table[f"{name}.score"].to_numpy().astype(np.float64) for name in names}
    return table[KEY].to_numpy(), by_name


class _Groups:
    """The segments of customers, by kind.

    Args:
        keys: the customers; those who are not in the snapshot are in no segment.
    """

    def __init__(self, snapshot: CurrentSnapshot, keys: NDArray[np.int64]) -> None:
        self.kinds = [kind for kind in KINDS if kind in snapshot.values]
        self._snapshot = snapshot
        known = np.isin(keys, snapshot.keys)
        self._rows = np.where(known, np.searchsorted(snapshot.keys, keys), -1)

    def of(self, kind: str) -> tuple[list[str], NDArray[np.int64]]:
        """The names of the segments of a kind, and the place of each customer's in them; -1 for none."""
        column = self._snapshot.values[kind]
        codes = np.append(column.indices.fill_null(-1).to_numpy(), -1)  # -1: unknown
        return column.dictionary.to_pylist(), codes[self._rows].astype(np.int64)


def _path(store: ScoreJobStore, job: ScoreJob) -> Path:
    return store.folder / job.id / _FILE
