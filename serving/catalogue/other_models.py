"""The state of the models that do not score customers, for `/v1/models`."""

from __future__ import annotations

import logging
import math
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Any

from core.errors import PatronError, StoreUnavailable
from models.registry.connection import may_have_versions
from models.registry.other_models import OTHER_MODELS
from models.registry.registry_state import RegistryState
from models.registry.versions import why_none
from serving.scores.champion_watch import RETRY_S, ChampionWatch
from serving.scores.champions import ChampionState
from serving.scores.schemas import ModelState

WAIT_S = 2.0  # for the registry
_log = logging.getLogger(__name__)


class OtherModels:
    """Reads which of their versions are promoted; opens no model, and reads each manifest once."""

    def __init__(self, watch: ChampionWatch) -> None:
        self._watch = watch
        self._manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self._states: list[ModelState] = []
        self._of: RegistryState | None = None
        self._champions: dict[str, ChampionState] = {}
        self._failed: dict[tuple[str, str], tuple[float, PatronError]] = {}  # with the time of the next try
        self._retry_at = math.inf
        self._thread = ThreadPoolExecutor(1, "other-models")
        self._reading: Future[None] | None = None
        self._lock = Lock()

    def states(self) -> list[ModelState]:
        """The models that were ever trained; as last read while the registry is unavailable or slow."""
        self._refresh_in_thread()
        return self._states

    def champions(self) -> dict[str, ChampionState]:
        """The champions of these models; as last read while the registry is unavailable or slow."""
        self._refresh_in_thread()
        return self._champions

    def close(self) -> None:
        """Wait for a read that takes long, and end the thread."""
        self._thread.shutdown()

    def _refresh_in_thread(self) -> None:
        """Read the registry in one thread for all callers, who wait for it ``WAIT_S`` at most."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = self._thread.submit(self._refresh)
        wait([self._reading], WAIT_S)

    def _refresh(self) -> None:
        with suppress(PatronError):
            state = self._watch.current().only(OTHER_MODELS)
            if state != self._of or self._watch.clock() >= self._retry_at:
                self._retry_at = math.inf  # reading sets it if a manifest cannot be read
                self._states, self._of = self._read(state), state
            self._champions = {
                name: self._champion(name, state.champions[name])
                for name in OTHER_MODELS
                if name in state.champions
            }

    def _champion(self, name: str, version: str) -> ChampionState:
        try:
            self._manifest(name, version)
        except StoreUnavailable:
            raise  # which says nothing about the version
        except PatronError:
            return ChampionState(None, refused=True)
        return ChampionState(version, refused=False)

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
            self._retry_at = self._watch.clock() + RETRY_S
            return state
        state.version, state.meaning, state.unit = version, manifest["meaning"], manifest["kind"]
        state.horizon_days = manifest.get("horizon_days")
        if "as_of" in manifest:
            state.trained_as_of = datetime.fromisoformat(manifest["as_of"])
        return state

    def _manifest(self, name: str, version: str) -> dict[str, Any]:
        if (name, version) in self._manifests:
            return self._manifests[name, version]
        now = self._watch.clock()
        retry_at, failed = self._failed.get((name, version), (now, None))
        if failed is not None and now < retry_at:
            raise failed
        try:
            manifest = self._watch.registry.manifest(name, version)
        except PatronError as error:
            if str(error) != str(failed):
                fields = {"model": name, "version": version, "used": None}
                _log.error("the champion of %s is refused: %s", name, error, extra={"fields": fields})
            self._failed[name, version] = now + RETRY_S, error
            raise
        self._failed.pop((name, version), None)
        self._manifests[name, version] = manifest
        return manifest
