"""The registry of models: versions, promotions, challenges, and the bundles of published models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from core.home import Home
from features.groups import features_of
from models.registry.bundle import MANIFEST, FittedModel, digest, open_bundle, verified
from models.registry.connection import BUNDLE, MlflowConnection, mlflow_errors
from models.registry.registry_state import Exchange, VersionFiles
from models.registry.settings import ModelSettings
from models.registry.signature import write_signature
from models.registry.standing import CHALLENGE_TAG, CHAMPION, Standing, Standings
from models.registry.training_runs import TrainingRuns
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

CHALLENGER = "challenger"
DIGEST_TAG, GATES_TAG, MOVE_TAG = "bundle_digest", "gates", "move"
NOT_PROMOTED_TAG = "held_back"


class Registry:
    """The models of a home's MLflow.

    Attributes:
        runs: the training runs of the versions.
    """

    def __init__(self, home: Home, settings: ModelSettings | None = None) -> None:
        self.home = home
        self.mlflow = MlflowConnection(home, settings)
        self.runs = TrainingRuns(self.mlflow)
        self._standings = Standings(self.mlflow)

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
            not_promoted_because: why it is not promoted although it passed its gates; empty otherwise.
        """
        with self.mlflow.errors(), TemporaryDirectory() as folder:
            run_id = self.runs.record(name, run)
            for file_name, content in files.items():
                Path(folder, file_name).write_bytes(content)
            write_signature(Path(folder), files, run_id, features_of(self.home))
            self.mlflow.client.log_artifacts(run_id, folder, BUNDLE)
            self.mlflow.client.set_terminated(run_id)
            if not self.mlflow.client.search_registered_models(f"name = '{name}'"):
                about = {key: value for key, value in run.tags.items() if key == TABLE_TAG}
                self.mlflow.client.create_registered_model(name, tags=about)
            version = self.mlflow.client.create_model_version(
                name,
                source=f"runs:/{run_id}/{BUNDLE}",
                run_id=run_id,
                tags={
                    DIGEST_TAG: digest(files[MANIFEST]),
                    GATES_TAG: "; ".join(failed_gates) or "passed",
                    NOT_PROMOTED_TAG: not_promoted_because,
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

    def promote(
        self, name: str, version: str, who: str, why: str, how: str = PROMOTED, forced: bool = False
    ) -> Promotion:
        """Make a version the champion, after recording the promotion.

        Each promotion is a separate tag of the registered model, so that recording one never changes
        another; the latest one is also a tag of the version.
        """
        with self.mlflow.errors():
            known = self.mlflow.client.get_registered_model(name)
            before = known.aliases.get(CHAMPION)
            promotion = Promotion(
                self.moment(), who, why, None if before is None else str(before), version, how, forced
            )
            count = sum(key.startswith(f"{MOVE_TAG}.") for key in known.tags)
            key = f"{MOVE_TAG}.{count:05}.{uuid4().hex[:8]}"
            self.mlflow.client.set_registered_model_tag(name, key, promotion.to_json())
            self.mlflow.client.set_model_version_tag(name, version, MOVE_TAG, promotion.to_json())
            self.mlflow.client.set_registered_model_alias(name, CHAMPION, version)
        return promotion

    def promotions(self, name: str) -> list[Promotion]:
        """All promotions and rollbacks of a model, the oldest first."""
        with self.mlflow.errors():
            if not self.mlflow.client.search_registered_models(f"name = '{name}'"):
                return []
            tags = self.mlflow.client.get_registered_model(name).tags
        return [Promotion.from_json(tags[key]) for key in sorted(tags) if key.startswith(f"{MOVE_TAG}.")]

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, the newest first."""
        with self.mlflow.errors():
            if not self.mlflow.client.search_registered_models(f"name = '{name}'"):
                return []
            champion = self.mlflow.client.get_registered_model(name).aliases.get(CHAMPION)
            stored = self.mlflow.client.search_model_versions(f"name = '{name}'")
            versions = [self._version(v, champion) for v in stored]
        return sorted(versions, key=lambda v: int(v.version), reverse=True)

    def table_models(self) -> list[str]:
        """The names of the models that were trained on a table, in alphabetical order."""
        with self.mlflow.errors():
            names: list[str] = []
            token, tagged = None, f"tag.{TABLE_TAG} LIKE '%'"
            while token != "":
                page = self.mlflow.client.search_registered_models(tagged, page_token=token)
                names += [model.name for model in page]
                token = page.token or ""
        return sorted(names)

    def _version(self, stored: Any, champion: Any) -> ModelVersion:
        run = self.mlflow.client.get_run(stored.run_id).data
        gates = stored.tags.get(GATES_TAG, "")
        return ModelVersion(
            stored.name,
            str(stored.version),
            stored.run_id,
            () if gates == "passed" else (gates,),
            run.metrics,
            str(stored.version) == str(champion),
            run.tags.get(TRAINED_TAG, ""),
            stored.tags.get(NOT_PROMOTED_TAG, ""),
        )

    def champions(self, names: Iterable[str]) -> dict[str, str]:
        """The champion of each model that has one; fast, since it is cached until MLflow's files change.

        Raises:
            PatronError: MLflow cannot be read.
        """
        standing = self.standing(names)
        return {name: model.champion for name, model in standing.items() if model.champion}

    def challenges(self, names: Iterable[str]) -> dict[str, str]:
        """The last challenge of each model that had one, as recorded; as fast as ``champions``.

        Raises:
            PatronError: MLflow cannot be read.
        """
        standing = self.standing(names)
        return {name: model.challenge for name, model in standing.items() if model.challenge}

    def challenge(self, name: str, record: str, version: str | None) -> None:
        """Record a challenge of a model, and set its challenger; None removes the challenger."""
        with self.mlflow.errors():
            self.mlflow.client.set_registered_model_tag(name, CHALLENGE_TAG, record)
            if version is None:
                self.mlflow.client.delete_registered_model_alias(name, CHALLENGER)
            else:
                self.mlflow.client.set_registered_model_alias(name, CHALLENGER, version)

    def moment(self) -> str:
        """The shop's time, or wall time if the home has no shop; ISO 8601 in UTC."""
        now = self.home.shop().now() if self.home.settings_file.exists() else datetime.now(UTC)
        return f"{now:%Y-%m-%dT%H:%M:%SZ}"

    def standing(self, names: Iterable[str]) -> dict[str, Standing]:
        """The champion and the last challenge of each registered model, in one request to a server.

        Raises:
            PatronError: MLflow cannot be read.
        """
        return self._standings.read(names)

    def champion(self, name: str) -> FittedModel:
        """Load the champion, checking every digest.

        Raises:
            NoChampion: no version was promoted; the message says why.
            PatronError: its bundle is missing or damaged.
        """
        return self.open(name, self.champion_version(name))

    def champion_version(self, name: str) -> str:
        """The champion's version.

        Raises:
            NoChampion: no version was promoted; the message says why.
        """
        versions = self.versions(name)
        chosen = next((v for v in versions if v.champion), None)
        if chosen is None:
            raise NoChampion(why_none(name, versions))
        return chosen.version

    def open(self, name: str, version: str, run_own_file: bool = False) -> FittedModel:
        """Load a published version, checking every digest; a user's code runs only if ``run_own_file``."""
        return open_bundle(version, *self.files(name, version), run_own_file)

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        """The manifest of a published version of any kind of model, with every digest checked."""
        return verified(version, *self.files(name, version))

    def files(self, name: str, version: str) -> VersionFiles:
        """The files of a published version, unverified, and the expected digest of its manifest.

        Raises:
            PatronError: the files cannot be read.
        """
        shared = None if self.mlflow.is_local else Exchange.of_service()
        if shared is None:
            return self._download(name, version)
        return shared.get(name, version, lambda: self._download(name, version))

    def _download(self, name: str, version: str) -> VersionFiles:
        with self.mlflow.errors(), TemporaryDirectory() as folder:
            stored = self.mlflow.client.get_model_version(name, version)
            unreadable: tuple[type[Exception], ...] = (OSError, *mlflow_errors())
            try:
                path = self.mlflow.bundle(stored.run_id, folder)
                files = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
            except unreadable as error:
                raise self.mlflow.unreadable(name, version, error) from error
            return files, stored.tags.get(DIGEST_TAG, "")
