"""Restoring exported models into an MLflow server: the same version numbers, in runs with other ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import PatronError
from core.home_id import HomeId
from models.registry.connection import BUNDLE, EXPERIMENT, HOME_TAG, MlflowConnection
from models.registry.copies.description import RUNS, StoredModel, StoredModels, StoredRun, load
from models.registry.copies.export import registered

if TYPE_CHECKING:
    from mlflow import MlflowClient

RESTORING_TAG = "patron.restoring"
"""The tag of a registered model that is not completely restored; the next restore replaces it."""
_DESCRIPTION = f"{BUNDLE}/MLmodel"  # MLflow's description of a bundle, which names the run


class ModelLoading:
    """The restore of a home's models into a server.

    Attributes:
        missing: the models that the server does not have.
    """

    def __init__(self, mlflow: MlflowConnection, own: HomeId, folder: Path) -> None:
        """Compare the server with the exported models in a folder.

        Raises:
            StoreUnavailable: the server cannot be reached.
            PatronError: it belongs to another home, or has other versions under these numbers.
        """
        self._mlflow, self._own, self._folder = mlflow, own, folder
        self._stored: StoredModels = load(folder)
        with mlflow.errors():
            client = mlflow.client_of(own)
            existing = {model.name: model for model in registered(client)}
        self._unfinished = [name for name, model in existing.items() if RESTORING_TAG in model.tags]
        self.missing: list[StoredModel] = []
        for model in self._stored.models:
            if model.name not in existing or model.name in self._unfinished:
                self.missing.append(model)
            else:
                _check_same(model, existing[model.name], mlflow.place)
        self._runs: dict[str, str] = {}
        self._created: list[str] = []

    @contextmanager
    def write(self) -> Iterator[None]:
        """Write the missing models; they are removed again if this or the block ends with an error."""
        try:
            with self._mlflow.errors():
                client = self._mlflow.client_of(self._own)
                for model in self.missing:
                    self._write_model(client, model)
            yield
        except BaseException:
            self._undo()
            raise

    def _write_model(self, client: MlflowClient, model: StoredModel) -> None:
        if model.name in self._unfinished:
            client.delete_registered_model(model.name)
        tags = {**model.tags, RESTORING_TAG: "true"}
        client.create_registered_model(model.name, tags, model.description)
        self._created.append(model.name)
        last = 0
        for version in model.versions:
            run_id = self._runs.get(version.run_id) or self._write_run(
                client, self._stored.runs[version.run_id]
            )
            source = f"runs:/{run_id}/{BUNDLE}"
            for _ in range(last + 1, version.version):  # numbers of versions that were deleted
                placeholder = client.create_model_version(model.name, source, run_id)
                client.delete_model_version(model.name, str(placeholder.version))
            created = client.create_model_version(
                model.name, source, run_id, dict(version.tags), description=version.description
            )
            last = int(created.version)
            if last != version.version:
                raise PatronError(
                    f"MLflow at {self._mlflow.place} gave {model.name} version {version.version} the number"
                    f" {last}; another program registers models there"
                )
        for alias, aliased in model.aliases.items():
            client.set_registered_model_alias(model.name, alias, str(aliased))
        client.delete_registered_model_tag(model.name, RESTORING_TAG)

    def _write_run(self, client: MlflowClient, run: StoredRun) -> str:
        """Write a run with its artifacts; returns its new id."""
        from mlflow.entities import Metric, Param

        run_id: str = client.create_run(
            self._experiment(client), run.start_time, dict(run.tags), run.name
        ).info.run_id
        self._runs[run.id] = run_id
        client.log_batch(
            run_id,
            [Metric(m.key, m.value, m.timestamp, m.step) for m in run.metrics],
            [Param(key, value) for key, value in run.parameters.items()],
        )
        artifacts = self._folder / RUNS / run.id
        if artifacts.is_dir():
            client.log_artifacts(run_id, str(artifacts))
        if (artifacts / _DESCRIPTION).exists():
            text = (artifacts / _DESCRIPTION).read_text().replace(run.id, run_id)
            client.log_text(run_id, text, _DESCRIPTION)
        if run.end_time is not None:
            client.set_terminated(run_id, run.status, run.end_time)
        return run_id

    def _experiment(self, client: MlflowClient) -> str:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(EXPERIMENT, tags={HOME_TAG: self._own.id}))

    def _undo(self) -> None:
        """Remove what was written, as far as the server can be reached."""
        with suppress(PatronError), self._mlflow.errors():
            client = self._mlflow.client_of(self._own)
            for name in self._created:
                client.delete_registered_model(name)
            for run_id in self._runs.values():
                client.delete_run(run_id)


def _check_same(model: StoredModel, existing: StoredModel, place: str) -> None:
    """Refuse a registered model without the versions of the backup; newer ones may have been added."""
    there = {version.identity for version in existing.versions}
    differing = [str(v.version) for v in model.versions if v.identity not in there]
    if differing:
        raise PatronError(
            f"MLflow at {place} has {model.name} without version {', '.join(differing)} of the backup, or"
            " another version of that number; nothing was changed. Restore into an MLflow server without"
            f" {model.name}, or delete it there"
        )
