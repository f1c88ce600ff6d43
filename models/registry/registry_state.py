"""The state of the registry: read from MLflow by one process of a service, and shared with the others."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core import files, locks
from core.errors import PatronError, StoreUnavailable
from models.registry.standing import Standing

SHARED = "PATRON_SHARED_REGISTRY_STATE"
"""Set in the environment of a service's workers: the file with the state that they share."""


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
