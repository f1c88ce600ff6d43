"""The state of the models that do not score customers, for `/v1/models`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import Any

from core.errors import PatronError
from core.home import Home
from models.registry.connection import may_have_versions
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.registry.versions import why_none
from serving.scores.champions import POLL_S, RETRY_S
from serving.scores.schemas import ModelState


class OtherModels:
    """Reads which of their versions are promoted, at most twice a second.

    It opens no model, and reads the manifest of each version once.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = monotonic) -> None:
        self._home, self._clock = home, clock
        self._manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self._states: list[ModelState] = []
        self._look_at = 0.0
        self._lock = Lock()

    def states(self) -> list[ModelState]:
        """The models that were ever trained; as last read while the registry is unavailable or being read."""
        # A registry that hangs must block one thread, not all that serve requests.
        if (
            self._clock() >= self._look_at
            and may_have_versions(self._home)
            and self._lock.acquire(blocking=False)
        ):
            try:
                self._look_at = self._clock() + self._look()
            finally:
                self._lock.release()
        return self._states

    def _look(self) -> float:
        """Read the registry, and return in how many seconds to read it again."""
        try:
            named = self._registry.champions(OTHER_MODELS)
            states = (self._state(name, named.get(name)) for name in OTHER_MODELS)
            self._states = [state for state in states if state is not None]
        except PatronError:
            return RETRY_S
        return POLL_S

    def _state(self, name: str, version: str | None) -> ModelState | None:
        state = ModelState(name=name, question=OTHER_MODELS[name])
        if version is None:
            versions = self._registry.versions(name)
            state.reason = why_none(name, versions)
            return state if versions else None
        try:
            manifest = self._manifest(name, version)
        except PatronError as damaged:
            state.reason = str(damaged)
            return state
        state.version, state.meaning, state.unit = version, manifest["meaning"], manifest["kind"]
        state.horizon_days = manifest.get("horizon_days")
        if "as_of" in manifest:
            state.trained_as_of = datetime.fromisoformat(manifest["as_of"])
        return state

    def _manifest(self, name: str, version: str) -> dict[str, Any]:
        if (name, version) not in self._manifests:
            self._manifests[name, version] = self._registry.manifest(name, version)
        return self._manifests[name, version]

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._home)
