"""The only door to MLflow: runs, versions, aliases, and the bundles of published models."""

from __future__ import annotations

import logging
import os
import platform
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from core.errors import PatronError
from core.home import Home
from models.registry.bundle import MANIFEST, FittedModel, digest, open_bundle, verified
from models.registry.settings import ModelSettings
from models.registry.versions import (  # fmt: skip
    PROMOTED,
    TABLE_TAG,
    TRAINED_TAG,
    ModelVersion,
    NoChampion,
    Promotion,
    TrainingRun,
    why_none,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

__all__ = ["ModelVersion", "NoChampion", "Registry", "TrainingRun", "begun", "local_uri"]

EXPERIMENT = "patron"
CHAMPION, CHALLENGER = "champion", "challenger"
BUNDLE = "bundle"
DIGEST_TAG, GATES_TAG, MOVE_TAG = "bundle_digest", "gates", "move"
HELD_BACK_TAG = "held_back"
CHALLENGE_TAG = "challenge"
_PARENT_TAG = "mlflow.parentRunId"  # MLflow's own, by which it shows runs below another
_TYPES = {"int64": "double", "float64": "double", "string": "string", "boolean": "boolean"}


class Registry:
    """A home's MLflow: an SQLite file by default, a server where ``PATRON_MLFLOW_URI`` names one."""

    def __init__(self, home: Home, settings: ModelSettings | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault(
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"
        )  # seconds, not minutes, until it is told
        with warnings.catch_warnings():
            # MLflow's own imports use names that their libraries have deprecated.
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient, __version__

        self.version = f"MLflow {__version__}"
        for name in ("alembic", "mlflow"):  # they tell of every table they make
            logging.getLogger(name).setLevel(logging.WARNING)
        self.home = home
        self._seen: tuple[object, dict[str, tuple[str | None, str | None]]] = None, {}
        self.uri = (settings or ModelSettings()).mlflow_uri or local_uri(home)
        if self.uri.startswith("sqlite:///"):
            home.mlflow.mkdir(parents=True, exist_ok=True)
        with self._speaking():
            self._client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def place(self) -> str:
        """Where it is, without credentials."""
        return re.sub("//[^/]*@", "//", self.uri).partition("?")[0]

    def publish(
        self,
        name: str,
        files: Mapping[str, bytes],
        run: TrainingRun,
        failed_gates: tuple[str, ...],
        not_promoted_because: str = "",
    ) -> ModelVersion:
        """Record a run and register its bundle as a new version, without promoting it.

        Args:
            held_back: why it is not to answer by itself although its gates open.
        """
        with self._speaking(), TemporaryDirectory() as folder:
            run_id = self._record(name, run)
            for file_name, content in files.items():
                Path(folder, file_name).write_bytes(content)
            _write_signature(Path(folder), files, run_id)
            self._client.log_artifacts(run_id, folder, BUNDLE)
            self._client.set_terminated(run_id)
            if not self._client.search_registered_models(f"name = '{name}'"):
                about = {key: value for key, value in run.tags.items() if key == TABLE_TAG}
                self._client.create_registered_model(name, tags=about)
            version = self._client.create_model_version(
                name,
                source=f"runs:/{run_id}/{BUNDLE}",
                run_id=run_id,
                tags={
                    DIGEST_TAG: digest(files[MANIFEST]),
                    GATES_TAG: "; ".join(failed_gates) or "passed",
                    HELD_BACK_TAG: not_promoted_because,
                },
            )
        trained = run.tags.get(TRAINED_TAG, "")
        return ModelVersion(
            name,
            str(version.version),
            run_id,
            failed_gates,
            run.metrics,
            trained=trained,
            not_promoted_because=not_promoted_because,
        )

    def begin_search(self, name: str, run: TrainingRun) -> str:
        """Record that configurations of a model are searched; returns the run that trials belong to."""
        with self._speaking():
            return self._record(f"{name} search", run)

    def record_trial(self, name: str, search: str, run: TrainingRun) -> None:
        """Record a trial below its search."""
        with self._speaking():
            below = replace(run, tags={**run.tags, _PARENT_TAG: search})
            self._client.set_terminated(self._record(f"{name} trial", below))

    def end_search(self, search: str, metrics: Mapping[str, float]) -> None:
        """Record what a search found, and that it is over."""
        with self._speaking():
            for key, metric in metrics.items():
                self._client.log_metric(search, key, metric)
            self._client.set_terminated(search)

    def promote(
        self, name: str, version: str, who: str, why: str, how: str = PROMOTED, forced: bool = False
    ) -> Promotion:
        """Let a version answer from now on, and record that: first the record, then the move.

        Each move is a tag of its own on the registered model, so that recording one never touches
        another; the latest one also stands on the version.
        """
        with self._speaking():
            known = self._client.get_registered_model(name)
            before = known.aliases.get(CHAMPION)
            promotion = Promotion(
                self.moment(), who, why, None if before is None else str(before), version, how, forced
            )
            count = sum(key.startswith(f"{MOVE_TAG}.") for key in known.tags)
            key = f"{MOVE_TAG}.{count:05}.{uuid4().hex[:8]}"
            self._client.set_registered_model_tag(name, key, promotion.to_json())
            self._client.set_model_version_tag(name, version, MOVE_TAG, promotion.to_json())
            self._client.set_registered_model_alias(name, CHAMPION, version)
        return promotion

    def promotions(self, name: str) -> list[Promotion]:
        """Every promotion and rollback of a model, the oldest first."""
        with self._speaking():
            if not self._client.search_registered_models(f"name = '{name}'"):
                return []
            tags = self._client.get_registered_model(name).tags
        return [Promotion.from_json(tags[key]) for key in sorted(tags) if key.startswith(f"{MOVE_TAG}.")]

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, the newest first."""
        with self._speaking():
            if not self._client.search_registered_models(f"name = '{name}'"):
                return []
            answering = self._client.get_registered_model(name).aliases.get(CHAMPION)
            found = [
                self._version(v, answering) for v in self._client.search_model_versions(f"name = '{name}'")
            ]
        return sorted(found, key=lambda v: int(v.version), reverse=True)

    def table_models(self) -> list[str]:
        """The names of the models that were trained on a table, in alphabetical order."""
        with self._speaking():
            names: list[str] = []
            token = None
            while token != "":
                found = self._client.search_registered_models(f"tag.{TABLE_TAG} LIKE '%'", page_token=token)
                names += [model.name for model in found]
                token = found.token or ""
        return sorted(names)

    def _version(self, stored: Any, answering: Any) -> ModelVersion:
        run = self._client.get_run(stored.run_id).data
        gates = stored.tags.get(GATES_TAG, "")
        return ModelVersion(
            stored.name,
            str(stored.version),
            stored.run_id,
            () if gates == "passed" else (gates,),
            run.metrics,
            str(stored.version) == str(answering),
            run.tags.get(TRAINED_TAG, ""),
            stored.tags.get(HELD_BACK_TAG, ""),
        )

    def champions(self, names: Iterable[str]) -> dict[str, str]:
        """Per model that has one, the version that answers; milliseconds, or none where nothing changed.

        Raises:
            PatronError: MLflow cannot be read.
        """
        return {name: version for name, (version, _) in self._standing(names).items() if version}

    def challenges(self, names: Iterable[str]) -> dict[str, str]:
        """Per model that was ever challenged, the last challenge as it was recorded; as quick.

        Raises:
            PatronError: MLflow cannot be read.
        """
        return {name: told for name, (_, told) in self._standing(names).items() if told}

    def challenge(self, name: str, record: str, version: str | None) -> None:
        """Record a challenge of a model, and name the version that challenges; None where none does now."""
        with self._speaking():
            self._client.set_registered_model_tag(name, CHALLENGE_TAG, record)
            if version is None:
                self._client.delete_registered_model_alias(name, CHALLENGER)
            else:
                self._client.set_registered_model_alias(name, CHALLENGER, version)

    def moment(self) -> str:
        """The shop's present, ISO 8601 in UTC."""
        return f"{self._now():%Y-%m-%dT%H:%M:%SZ}"

    def _standing(self, names: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
        """Per registered model the version that answers, and its last challenge."""
        stamp, names = self._stamp(), tuple(names)
        if stamp is None or (stamp, names) != self._seen[0]:
            with self._speaking():
                # By name, since a server may hold more models than a page of its answer.
                asked = (self._client.search_registered_models(f"name = '{name}'") for name in names)
                found = {
                    model.name: (
                        str(model.aliases.get(CHAMPION) or "") or None,
                        model.tags.get(CHALLENGE_TAG),
                    )
                    for models in asked
                    for model in models
                }
            self._seen = (stamp, names), found
        return self._seen[1]

    def _stamp(self) -> tuple[tuple[int, int], ...] | None:
        """What changes with the tables, where they are in a file; None for a server."""
        if self.uri != local_uri(self.home):
            return None
        stats = (path.stat() for path in sorted(self.home.mlflow.glob("mlflow.db*")))
        try:
            return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        except FileNotFoundError:  # SQLite's log beside it, which comes and goes
            return None

    def champion(self, name: str) -> FittedModel:
        """The version that answers, with every digest checked.

        Raises:
            NoChampion: none was promoted; the text says why.
            PatronError: its bundle is missing or damaged.
        """
        return self.open(name, self.champion_version(name))

    def champion_version(self, name: str) -> str:
        """The version that answers.

        Raises:
            NoChampion: none was promoted; the text says why.
        """
        versions = self.versions(name)
        chosen = next((v for v in versions if v.champion), None)
        if chosen is None:
            raise NoChampion(why_none(name, versions))
        return chosen.version

    def open(self, name: str, version: str) -> FittedModel:
        """A published version, with every digest checked."""
        return open_bundle(version, *self.files(name, version))

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        """What a published version says of itself, with every digest checked; of any kind of model."""
        return verified(version, *self.files(name, version))

    def files(self, name: str, version: str) -> tuple[dict[str, bytes], str]:
        """The files of a published version as they lie there, and the digest its manifest must have.

        Raises:
            PatronError: they cannot be read.
        """
        with self._speaking(), TemporaryDirectory() as folder:
            stored = self._client.get_model_version(name, version)
            unreadable: tuple[type[Exception], ...] = (OSError, *_mlflow_errors())
            try:
                path = self._bundle(stored.run_id, folder)
                files = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
            except unreadable as error:
                raise PatronError(
                    f"the files of {name} version {version} cannot be read ({type(error).__name__});"
                    f" restore {self.home.mlflow} or run `patron train {name}`"
                ) from error
            return files, stored.tags.get(DIGEST_TAG, "")

    def _bundle(self, run_id: str, folder: str) -> Path:
        """Where a run's bundle lies; MLflow's own record is absolute, and a home may have been moved."""
        if self.uri == local_uri(self.home):
            return self.home.mlflow / "artifacts" / run_id / "artifacts" / BUNDLE
        return Path(self._client.download_artifacts(run_id, BUNDLE, folder))

    def _now(self) -> datetime:
        """The shop's present; the wall's where there is no shop beside the models."""
        return self.home.shop().now() if self.home.settings_file.exists() else datetime.now(UTC)

    def _record(self, name: str, run: TrainingRun) -> str:
        run_id: str = self._client.create_run(
            self._experiment(), run_name=name, tags={"model": name} | dict(run.tags)
        ).info.run_id
        for key, value in run.parameters.items():
            self._client.log_param(run_id, key, value)
        for key, metric in run.metrics.items():
            self._client.log_metric(run_id, key, metric)
        for file_name, figure in run.figures.items():
            self._client.log_figure(run_id, figure, f"plots/{file_name}.png")
        for file_name, document in run.documents.items():
            self._client.log_dict(run_id, document, f"{file_name}.json")
        for file_name, text in run.texts.items():
            self._client.log_text(run_id, text, file_name)
        return run_id

    def _experiment(self) -> str:
        where = (self.home.mlflow / "artifacts").as_uri() if self.uri == local_uri(self.home) else None
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return str(self._client.create_experiment(EXPERIMENT, artifact_location=where))
        if where in (None, found.artifact_location):
            return str(found.experiment_id)
        # The home was moved, and an experiment's place cannot be: this one makes room for another.
        self._client.rename_experiment(found.experiment_id, f"{EXPERIMENT} before {uuid4().hex[:8]}")
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=where))

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn MLflow's own errors into ones a person can act on."""
        try:
            yield
        except _mlflow_errors() as error:
            said = str(error).strip().partition("\n")[0]
            said = said.replace(self.uri, self.place)
            raise PatronError(f"MLflow at {self.place} refused: {said}") from error


def local_uri(home: Home) -> str:
    """Where a home's own MLflow keeps its tables."""
    return f"sqlite:///{home.mlflow / 'mlflow.db'}"


def begun(home: Home) -> bool:
    """Whether there may be versions: a home's own MLflow has no tables before something is trained."""
    return ModelSettings().mlflow_uri is not None or (home.mlflow / "mlflow.db").exists()


def _mlflow_errors() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # MLflow passes it on where its tables are damaged

    return MlflowException, SQLAlchemyError


def _write_signature(folder: Path, files: Mapping[str, bytes], run_id: str) -> None:
    """Write MLflow's ``MLmodel`` with the signature, so that MLflow's page shows in- and outputs.

    It also lets a scientist open the bundle by ``mlflow.pyfunc.load_model``; serving never does.
    """
    import json

    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    manifest = json.loads(files[MANIFEST])
    inputs = Schema(
        [ColSpec(DataType[_TYPES[c["dtype"]]], c["name"], required=False) for c in manifest["features"]]
    )
    signature = ModelSignature(inputs, Schema([ColSpec(DataType.double, "score")]))
    flavors = {
        "python_function": {"loader_module": "models.pyfunc", "python_version": platform.python_version()}
    }
    Model(run_id=run_id, flavors=flavors, signature=signature).save(str(folder / "MLmodel"))
