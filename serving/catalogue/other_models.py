"""The state of the models that do not score customers, for `/v1/models`."""

from __future__ import annotations

from datetime import datetime
from threading import Lock
from typing import Any

from core.errors import PatronError
from models.registry.connection import may_have_versions
from models.registry.other_models import OTHER_MODELS
from models.registry.versions import why_none
from serving.scores.champion_watch import ChampionWatch, RegistryState
from serving.scores.schemas import ModelState


class OtherModels:
    """Reads which of their versions are promoted; opens no model, and reads each manifest once."""

    def __init__(self, watch: ChampionWatch) -> None:
        self._watch = watch
        self._manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self._states: list[ModelState] = []
        self._of: RegistryState | None = None
        self._reading = Lock()

    def states(self) -> list[ModelState]:
        """The models that were ever trained; as last read while the registry is unavailable or being read."""
        try:
            state = self._watch.current()
            # A registry that hangs must block one thread, not all that serve requests.
            if state is not self._of and self._reading.acquire(blocking=False):
                try:
                    self._of = state
                    self._states = self._read(state)
                finally:
                    self._reading.release()
        except PatronError:
            pass
        return self._states

    def _read(self, state: RegistryState) -> list[ModelState]:
        if not may_have_versions(self._watch.home):
            return []
        states = (self._state(name, state.champions.get(name)) for name in OTHER_MODELS)
        return [state for state in states if state is not None]

    def _state(self, name: str, version: str | None) -> ModelState | None:
        state = ModelState(name=name, question=OTHER_MODELS[name])
        if version is None:
            versions = self._watch.registry.versions(name)
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
            self._manifests[name, version] = self._watch.registry.manifest(name, version)
        return self._manifests[name, version]
