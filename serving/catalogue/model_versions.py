"""The versions of models with what their training recorded: measures, the data of its plots, the card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import NothingThere
from models.measures.metrics import RANKING
from models.questions import MODELS, every
from models.registry import challenges
from models.registry.challenges import Challenge
from models.registry.connection import may_have_versions
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, Promotion, earlier
from serving.scores.champion_watch import ChampionWatch

RANKING_MEASURES = (*(name for name, _ in RANKING.values()), "ndcg_10")
"""The measures that rank versions, one per kind of model."""


@dataclass(frozen=True)
class ModelHistory:
    """A model's versions and who changed its champion.

    Attributes:
        versions: the newest first.
        promotions: the newest first.
        challenge: the running challenge; None if there is none.
        previous: the version that a rollback promotes; None if there is none.
    """

    name: str
    versions: Sequence[ModelVersion]
    promotions: Sequence[Promotion]
    challenge: Challenge | None
    previous: str | None

    @property
    def champion(self) -> ModelVersion | None:
        """The champion; None if there is none."""
        return next((version for version in self.versions if version.champion), None)


@dataclass(frozen=True)
class TrainingEvidence:
    """What the training of a version recorded on its test set; empty where it recorded nothing.

    Attributes:
        tenths: of the customers by score, the best first: ``customers``, ``predicted``, ``actual``, ``money``
            and ``lift``, the actual mean as a multiple of that of all.
        slices: ``of``, ``customers``, ``measure``, ``predicted``, ``actual``.
        levels: predicted and actual totals at the last moments: ``day``, ``predicted``, ``actual``.
        card: the model card as Markdown.
    """

    tenths: Sequence[Mapping[str, Any]]
    slices: Sequence[Mapping[str, Any]]
    levels: Sequence[Mapping[str, Any]]
    card: str


class ModelVersions:
    """Reads the versions of a home's models; a local MLflow is read again only once its files changed."""

    def __init__(self, watch: ChampionWatch) -> None:
        self._watch = watch
        self._stamp: object = None
        self._histories: dict[str, ModelHistory] = {}
        self._evidence: dict[str, TrainingEvidence] = {}

    @property
    def registry(self) -> Registry:
        """The registry of the home."""
        return self._watch.registry

    def histories(self) -> list[ModelHistory]:
        """The models of every shop, the others that were ever trained, and those trained on tables.

        Raises:
            PatronError: MLflow cannot be read.
        """
        if not may_have_versions(self._watch.home):
            return [ModelHistory(name, (), (), None, None) for name in MODELS]
        names = [*every(), *OTHER_MODELS, *self.registry.table_models()]
        histories = [self._history(name) for name in names]
        return [history for history in histories if history.versions or history.name in MODELS]

    def history(self, name: str) -> ModelHistory:
        """The versions of a model.

        Raises:
            NothingThere: there is no model of that name.
            PatronError: MLflow cannot be read.
        """
        for history in self.histories():
            if history.name == name:
                return history
        raise NothingThere(f"there is no model {name!r}, or it was never trained")

    def evidence(self, version: ModelVersion) -> TrainingEvidence:
        """What the training of a version recorded, which never changes.

        Raises:
            StoreUnavailable: the MLflow server cannot be reached.
        """
        if version.run_id not in self._evidence:
            self._evidence[version.run_id] = self._read_evidence(version.run_id)
        return self._evidence[version.run_id]

    def _history(self, name: str) -> ModelHistory:
        stamp = self.registry.mlflow.stamp()
        if stamp is None or stamp != self._stamp:
            self._stamp, self._histories = stamp, {}
        histories = self._histories
        if name not in histories:
            histories[name] = self._read_history(name)
        return histories[name]

    def _read_history(self, name: str) -> ModelHistory:
        versions, moves = self.registry.versions(name), self.registry.promotions(name)
        champion = next((version.version for version in versions if version.champion), None)
        challenge = challenges.last(self.registry, name) if versions else None
        if challenge and (challenge.ended or challenge.version == champion):
            challenge = None
        previous = earlier(moves, champion, {version.version for version in versions})
        return ModelHistory(name, versions, moves[::-1], challenge, previous)

    def _read_evidence(self, run_id: str) -> TrainingEvidence:
        calibration, slices, levels = (
            json.loads(self.registry.runs.read(run_id, f"{name}.json") or "{}")
            for name in ("calibration", "slices", "levels")
        )
        return TrainingEvidence(
            _with_lift(calibration.get("tenths", [])),
            slices.get("rows", []),
            levels.get("rows", []),
            self.registry.runs.read(run_id, "card.md") or "",
        )


def ranking_measure(version: ModelVersion) -> tuple[str, float] | None:
    """The measure that ranks the versions of its model, with its value in the test; None if not measured."""
    return next(((name, version.metrics[name]) for name in RANKING_MEASURES if name in version.metrics), None)


def _with_lift(tenths: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    customers = sum(tenth["customers"] for tenth in tenths)
    total = sum(tenth["actual"] * tenth["customers"] for tenth in tenths)
    mean = total / customers if customers else 0
    return [dict(tenth) | {"lift": tenth["actual"] / mean if mean else None} for tenth in tenths]
