"""The description of the models on an MLflow server, which a backup stores next to the runs' artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.registry.registry import DIGEST_TAG

FILE, RUNS = "models.json", "runs"
"""The file of the description, and the folder with the artifacts of each run, by the run's id."""
FORMAT = 1


@dataclass(frozen=True)
class StoredVersion:
    """A version of a registered model."""

    version: int
    run_id: str
    source: str
    description: str
    tags: Mapping[str, str]

    @property
    def identity(self) -> tuple[int, str]:
        """Its number, and the digest of its bundle."""
        return self.version, self.tags.get(DIGEST_TAG, "")


@dataclass(frozen=True)
class StoredModel:
    """A registered model: its versions in ascending order, and the version of each alias."""

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    versions: tuple[StoredVersion, ...]


@dataclass(frozen=True)
class StoredMetric:
    """The last value of a metric; Patron logs each metric of a run once."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class StoredRun:
    """The run of a version; times in milliseconds since 1970, None while it is running."""

    id: str
    name: str
    status: str
    start_time: int | None
    end_time: int | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: tuple[StoredMetric, ...]


@dataclass(frozen=True)
class StoredModels:
    """The models of a home, and the runs of their versions by id."""

    models: tuple[StoredModel, ...]
    runs: Mapping[str, StoredRun]

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)


def load(folder: Path) -> StoredModels:
    """The description in a folder of a backup; one without models if there is none."""
    path = folder / FILE
    if not path.exists():
        return StoredModels((), {})
    content = json.loads(path.read_text())
    models = tuple(_model(model) for model in content["models"])
    return StoredModels(models, {run_id: _run(run) for run_id, run in content["runs"].items()})


def _model(fields: dict[str, Any]) -> StoredModel:
    versions = tuple(StoredVersion(**version) for version in fields["versions"])
    return StoredModel(**fields | {"versions": versions})


def _run(fields: dict[str, Any]) -> StoredRun:
    return StoredRun(**fields | {"metrics": tuple(StoredMetric(**metric) for metric in fields["metrics"])})
