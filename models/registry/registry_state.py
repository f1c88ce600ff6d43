"""What one process of a service reads from MLflow for all of them: the state, and the files of versions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core import files, locks
from core.errors import PatronError, StoreUnavailable
from models.registry.standing import Standing

SHARED = "PATRON_SHARED_REGISTRY_STATE"
"""Set in the environment of a service's workers: the file with the state that they share."""
VersionFiles = tuple[dict[str, bytes], str]
"""The files of a version by name, and the expected digest of its manifest."""
_DIGEST, _STORED = "manifest.digest", 2


@dataclass(frozen=True)
class RegistryState:
    """The promoted versions and the challenges at a moment.

    Attributes:
        champions: the promoted version of each model that has one.
        challenges: the last challenge of each model that ever had one, as the registry stores it.
        changed: when each model was last changed or trained, in milliseconds since 1970.
    """

    champions: Mapping[str, str]
    challenges: Mapping[str, str]
    changed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, standing: Mapping[str, Standing]) -> RegistryState:
        """The state of models with these standings."""
        return cls(
            {name: model.champion for name, model in standing.items() if model.champion},
            {name: model.challenge for name, model in standing.items() if model.challenge},
            {name: model.changed for name, model in standing.items()},
        )

    def only(self, models: Collection[str]) -> RegistryState:
        """The state of these models."""
        return RegistryState(
            {name: version for name, version in self.champions.items() if name in models},
            {name: record for name, record in self.challenges.items() if name in models},
            {name: moment for name, moment in self.changed.items() if name in models},
        )


@dataclass(frozen=True)
class Reading:
    """A reading of the registry.

    Attributes:
        result: the state, or the error for which it could not be read.
        due: the moment of the next reading, by the machine's monotonic clock, which its processes share.
    """

    result: RegistryState | PatronError
    due: float


class SharedReading:
    """The last reading of a service's processes, in a file; the lock of another says who reads next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_service(cls) -> SharedReading | None:
        """The reading that this worker shares with others; None for a process of its own."""
        path = os.environ.get(SHARED)
        return None if path is None else cls(Path(path))

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """A block in which at most one process may read the registry; yields whether it is this one."""
        with open(f"{self._path}.lock", "a") as lock:
            yield locks.acquire(lock)

    def load(self) -> Reading | None:
        """The last reading; None before the first."""
        try:
            stored = json.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        state = stored["state"]
        if state is not None:
            return Reading(RegistryState(**state), stored["due"])
        kind = StoreUnavailable if stored["unavailable"] else PatronError
        return Reading(kind(stored["error"]), stored["due"])

    def store(self, reading: Reading) -> None:
        """Replace the last reading."""
        failed = isinstance(reading.result, PatronError)
        stored = {
            "due": reading.due,
            "error": str(reading.result) if failed else None,
            "unavailable": isinstance(reading.result, StoreUnavailable),
            "state": None if isinstance(reading.result, PatronError) else asdict(reading.result),
        }
        files.replace(self._path, json.dumps(stored))


class Exchange:
    """The files of published versions, which one of a service's processes downloads for all of them.

    Published files never change. The newest two versions of a model are stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_service(cls) -> Exchange | None:
        """The files that this worker shares with others; None for a process of its own."""
        path = os.environ.get(SHARED)
        return None if path is None else cls(Path(path).with_name("versions"))

    def get(self, name: str, version: str, download: Callable[[], VersionFiles]) -> VersionFiles:
        """The files of a version, downloaded unless a process has done so; the others wait meanwhile."""
        versions = self._folder / name
        versions.mkdir(parents=True, exist_ok=True)
        with open(self._folder / f"{name}.lock", "a") as lock:
            locks.wait(lock)
            if not (versions / version).exists():
                _store(versions, version, *download())
            folder = versions / version
            contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != _DIGEST}
            return contents, (folder / _DIGEST).read_text()


def _store(versions: Path, version: str, contents: Mapping[str, bytes], digest: str) -> None:
    draft = versions / "draft"
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    draft.mkdir()
    for name, content in contents.items():
        (draft / name).write_bytes(content)
    (draft / _DIGEST).write_text(digest)
    draft.rename(versions / version)
    for older in sorted(versions.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-_STORED]:
        shutil.rmtree(older)
