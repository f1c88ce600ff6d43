"""Watches the registry for promotions, on behalf of everything in a process that serves models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from time import monotonic
from typing import Generic, Protocol, TypeVar

from core.errors import PatronError, StoreUnavailable, in_words
from core.home import Home
from models.questions import every
from models.registry import challenges
from models.registry.connection import may_have_versions
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.registry.registry_state import Reading, RegistryState, SharedReading
from serving.scores.champions import Champions, open_champions

POLL_S = 1.0
RETRY_S = 1.0  # between attempts after a failure
SHARED_POLL_S = 0.2  # between looks at the reading that another process makes
WAIT_S = 2.0  # for the first state, which another thread reads
_log = logging.getLogger(__name__)


class ChampionWatch:
    """The state of the registry, read at most every ``POLL_S`` seconds by all workers of a service together.

    Threads may share it. One thread reads at a time, and meanwhile the others get the last state: a registry
    that hangs blocks one thread, not all that serve requests.

    Args:
        registry: the home's; opened at the first reading by default.
        clock: in seconds.
    """

    def __init__(
        self, home: Home, registry: Registry | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.home, self.clock = home, clock
        self._registry = registry
        self._shared = SharedReading.of_service()
        self._reading = threading.Lock()
        self._last: RegistryState | PatronError | None = None
        self._due = 0.0

    @cached_property
    def registry(self) -> Registry:
        """The registry that is watched."""
        return self._registry or Registry(self.home)

    def current(self) -> RegistryState:
        """The last state; read again once it is ``POLL_S`` seconds old, or ``RETRY_S`` after a failure.

        Raises:
            PatronError: the registry could not be read the last time, or hangs at the first time.
        """
        if self.clock() >= self._due and self._reading.acquire(timeout=0 if self._last else WAIT_S):
            try:
                if self.clock() >= self._due:  # another thread may have read it by now
                    self._read()
            finally:
                self._reading.release()
        return self._result()

    def _read(self) -> None:
        if self._shared is None:
            reading = self._query()
        else:
            with self._shared.turn() as mine:
                last = self._shared.load()
                if last is None or (mine and self.clock() >= last.due):
                    last = self._query()
                    self._shared.store(last)
                elif self.clock() >= last.due:  # another process is reading
                    last = Reading(last.result, self.clock() + SHARED_POLL_S)
                reading = last
        self._last, self._due = reading.result, reading.due

    def _query(self) -> Reading:
        models = (*every(), *OTHER_MODELS)
        try:
            if isinstance(self._last, StoreUnavailable):
                self.registry.mlflow.probe()  # which waits less than a request
            # Reading the registry of a home without trained models would create its tables.
            standing = self.registry.standing(models) if may_have_versions(self.home) else {}
        except PatronError as error:
            return Reading(error, self.clock() + RETRY_S)
        return Reading(RegistryState.of(standing), self.clock() + POLL_S)

    def _result(self) -> RegistryState:
        if self._last is None:
            raise StoreUnavailable("the model registry has not answered yet")
        if isinstance(self._last, PatronError):
            raise self._last
        return self._last


class Versioned(Protocol):
    """A loaded version of a model."""

    @property
    def version(self) -> str:
        """The version's number."""
        ...


V = TypeVar("V", bound=Versioned)


class LazyChampion(Generic[V]):
    """Opens the promoted version of a model when it is first used, and another once it is promoted.

    A service without requests opens nothing. Not thread-safe.

    Args:
        model: its name in the registry.
    """

    def __init__(self, model: str, watch: ChampionWatch, open_version: Callable[[Registry, str], V]) -> None:
        self._model, self._watch, self._open_version = model, watch, open_version
        self._opened: V | None = None
        self._failed: tuple[str | None, PatronError] | None = None  # the version that could not be opened
        self._retry_at = 0.0
        self._logged = ""

    def current(self) -> V:
        """The promoted version; the previous one if the promoted one cannot be opened.

        Raises:
            PatronError: no version was promoted, or it cannot be opened, and none was open before.
        """
        try:
            promoted = self._watch.current().champions.get(self._model)
            if self._opened is None or promoted != self._opened.version:
                self._opened = self._open(promoted)
            self._logged = ""
        except PatronError as error:
            if self._opened is None:
                raise
            if str(error) != self._logged:
                _log.error("%s version %s is still used: %s", self._model, self._opened.version, error)
            self._logged = str(error)
        return self._opened

    def _open(self, version: str | None) -> V:
        """Open a version; after a failure it is retried later."""
        now, registry = self._watch.clock(), self._watch.registry
        if self._failed is not None and self._failed[0] == version and now < self._retry_at:
            raise self._failed[1]
        try:
            # Without a promoted version, the registry raises with the reason.
            opened = self._open_version(registry, version or registry.champion_version(self._model))
        except PatronError as error:
            self._failed = version, error
            self._retry_at = now + RETRY_S
            raise
        self._failed = None
        return opened


class HasChampions(Protocol):
    """A scorer with champions."""

    champions: Champions


class ChampionWatcher:
    """A thread that replaces the champions after a promotion.

    It looks every ``SHARED_POLL_S`` seconds at the state, which is read from the registry less often.
    """

    def __init__(self, watch: ChampionWatch, scorer: HasChampions) -> None:
        self.watch, self._scorer = watch, scorer
        self._retry_at = watch.clock() + RETRY_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champions", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        logged = ""
        while not self._stop.wait(SHARED_POLL_S):
            try:
                self._look()
                logged = ""
            except Exception as error:  # whatever it is, the loaded models are still served
                words = in_words(error)
                if words != logged:
                    _log.error("promotions cannot be followed: %s", words)
                logged = words

    def _look(self) -> None:
        now = self._scorer.champions
        for name, challenger in now.challengers.items():
            why = challenger.watch.ended_because
            if why and challenges.end(self.watch.registry, name, challenger.challenge.version, why):
                _log.warning(
                    "%s version %s is no longer a challenger: %s", name, challenger.challenge.version, why
                )
        state = self.watch.current().only(every())
        retry = now.behind and self.watch.clock() >= self._retry_at
        if (state.champions, state.challenges) == (now.named, now.challenges) and not retry:
            return
        newer = open_champions(now.store, self.watch.registry, now, state)
        log_changes(now, newer)
        self._scorer.champions = newer
        self._retry_at = self.watch.clock() + RETRY_S


def log_changes(before: Champions | None, now: Champions) -> None:
    """Log promotions, and each champion that is refused or missing, unless it was so before.

    Args:
        before: None when the service starts.
    """
    for name, model in now.models.items():
        previous = before.models.get(name) if before else None
        if before and (previous is None or previous.version != model.version):
            fields = {"model": name, "version": model.version, "previous": previous and previous.version}
            _log.info("%s version %s answers from now on", name, model.version, extra={"fields": fields})
    for name in {*now.models, *now.unavailable}:
        why = now.refusal(name)
        if why is not None and (before is None or before.refusal(name) != why):
            used = now.models.get(name)
            state = f"{name} version {used.version} is still used" if used else f"{name} does not answer"
            fields = {"model": name, "version": now.named[name], "used": used and used.version}
            _log.error("%s: %s", state, why, extra={"fields": fields})
        elif name not in now.named and (before is None or name in before.named):
            level = logging.WARNING if before is None else logging.ERROR
            _log.log(
                level, "%s", now.unavailable.get(name, f"{name} has no champion"),
                extra={"fields": {"model": name}},
            )  # fmt: skip
