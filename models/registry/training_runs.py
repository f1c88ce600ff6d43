"""Training runs and searches, as MLflow records them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from core.errors import StoreUnavailable
from models.registry.connection import EXPERIMENT, MlflowConnection, mlflow_errors
from models.registry.versions import TrainingRun

MAX_PARAMETERS = 100  # in one request to MLflow; of metrics it accepts 1,000
_PARENT_TAG = "mlflow.parentRunId"  # MLflow's own tag for nested runs


class TrainingRuns:
    """The runs of a home's MLflow."""

    def __init__(self, mlflow: MlflowConnection) -> None:
        self._mlflow = mlflow

    def begin_search(self, name: str, run: TrainingRun) -> str:
        """Record the start of a search for settings; returns the id of the run that its trials belong to."""
        with self._mlflow.errors():
            return self.record(f"{name} search", run)

    def record_trial(self, name: str, search: str, run: TrainingRun) -> None:
        """Record a trial of a search."""
        with self._mlflow.errors():
            trial = replace(run, tags={**run.tags, _PARENT_TAG: search})
            self._mlflow.client.set_terminated(self.record(f"{name} trial", trial))

    def end_search(self, search: str, metrics: Mapping[str, float]) -> None:
        """Record the measures of a search, and its end."""
        with self._mlflow.errors():
            self._log(search, {}, metrics)
            self._mlflow.client.set_terminated(search)

    def record(self, name: str, run: TrainingRun) -> str:
        """Record a run, and leave it open; returns its id."""
        run_id: str = self._mlflow.client.create_run(
            self._experiment(), run_name=name, tags={"model": name} | dict(run.tags)
        ).info.run_id
        self._log(run_id, run.parameters, run.metrics)
        for file_name, figure in run.figures.items():
            self._mlflow.client.log_figure(run_id, figure, f"plots/{file_name}.png")
        for file_name, document in run.documents.items():
            self._mlflow.client.log_dict(run_id, document, f"{file_name}.json")
        for file_name, text in run.texts.items():
            self._mlflow.client.log_text(run_id, text, file_name)
        return run_id

    def read(self, run_id: str, file_name: str) -> str | None:
        """The text of a file that a run recorded; None if it did not, or the file is gone.

        Raises:
            StoreUnavailable: the MLflow server cannot be reached.
        """
        unreadable: tuple[type[Exception], ...] = (OSError, *mlflow_errors())
        with TemporaryDirectory() as folder:
            try:
                return self._mlflow.artifact(run_id, file_name, folder).read_text(encoding="utf-8")
            except unreadable as error:
                if self._mlflow.is_unavailable(error):
                    raise StoreUnavailable(f"MLflow at {self._mlflow.place} cannot be reached") from error
                return None

    def _log(self, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Record parameters and metrics in few requests and transactions."""
        from mlflow.entities import Metric, Param

        now = time.time_ns() // 1_000_000
        params = [Param(key, str(value)) for key, value in parameters.items()]
        self._mlflow.client.log_batch(
            run_id, [Metric(key, metric, now, 0) for key, metric in metrics.items()]
        )
        for start in range(0, len(params), MAX_PARAMETERS):
            self._mlflow.client.log_batch(run_id, params=params[start : start + MAX_PARAMETERS])

    def _experiment(self) -> str:
        location = (self._mlflow.home.mlflow / "artifacts").as_uri() if self._mlflow.is_local else None
        experiment, tags = self._mlflow.client.get_experiment_by_name(EXPERIMENT), self._mlflow.claim()
        if experiment is None:
            return str(self._mlflow.client.create_experiment(EXPERIMENT, location, tags))
        if location in (None, experiment.artifact_location):
            for key, value in tags.items():
                if experiment.tags.get(key) != value:
                    self._mlflow.client.set_experiment_tag(experiment.experiment_id, key, value)
            return str(experiment.experiment_id)
        # The home was moved, but an experiment's location is fixed: rename the old one, and create a new one.
        self._mlflow.client.rename_experiment(
            experiment.experiment_id, f"{EXPERIMENT} before {uuid4().hex[:8]}"
        )
        return str(self._mlflow.client.create_experiment(EXPERIMENT, location, tags))
