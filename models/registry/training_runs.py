"""Training runs and searches, as MLflow records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from models.registry.connection import EXPERIMENT, MlflowConnection
from models.registry.versions import TrainingRun

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
            for key, metric in metrics.items():
                self._mlflow.client.log_metric(search, key, metric)
            self._mlflow.client.set_terminated(search)

    def record(self, name: str, run: TrainingRun) -> str:
        """Record a run, and leave it open; returns its id."""
        run_id: str = self._mlflow.client.create_run(
            self._experiment(), run_name=name, tags={"model": name} | dict(run.tags)
        ).info.run_id
        for key, value in run.parameters.items():
            self._mlflow.client.log_param(run_id, key, value)
        for key, metric in run.metrics.items():
            self._mlflow.client.log_metric(run_id, key, metric)
        for file_name, figure in run.figures.items():
            self._mlflow.client.log_figure(run_id, figure, f"plots/{file_name}.png")
        for file_name, document in run.documents.items():
            self._mlflow.client.log_dict(run_id, document, f"{file_name}.json")
        for file_name, text in run.texts.items():
            self._mlflow.client.log_text(run_id, text, file_name)
        return run_id

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
