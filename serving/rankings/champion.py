"""A model beside the customers' scores: answered by the version that is promoted, opened when first asked."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from time import monotonic
from typing import Generic, Protocol, TypeVar

from core.errors import PatronError
from core.home import Home
from models.registry.registry import Registry
from serving.http.single_worker import SingleWorker
from serving.scores.champions import POLL_S, RETRY_S

_log = logging.getLogger(__name__)


class Versioned(Protocol):
    """A version that is opened."""

    @property
    def version(self) -> str:
        """Its number."""
        ...


P = TypeVar("P", bound=Versioned)


class Following(SingleWorker, Generic[P]):
    """Follows which version of a model is promoted; looks at most twice a second, when it is asked.

    All of it happens in one thread, that of :meth:`run`: a service that nobody asks opens nothing, and
    scores wait for none of it.

    Args:
        name: the model's, in the registry.
    """

    def __init__(self, name: str, home: Home, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(name.replace("_", " "))
        self._name, self._home, self._clock = name, home, clock
        self._held: P | None = None
        self._refusal: PatronError | None = None
        self._look_at = 0.0

    @abstractmethod
    def _open(self, registry: Registry, version: str) -> P:
        """A published version, with every digest checked."""

    def now(self) -> P:
        """The version that answers; the one before goes on where a newer one cannot be opened.

        Raises:
            PatronError: none was promoted, or it cannot be opened, and none answered before.
        """
        if self._clock() >= self._look_at:
            self._look()
        if self._held is None:
            assert self._refusal is not None
            raise self._refusal
        return self._held

    def _look(self) -> None:
        try:
            named = self._registry.champions([self._name]).get(self._name)
            if self._held is None or named != self._held.version:
                # Where none is promoted, this says why.
                self._held = self._open(self._registry, named or self._registry.champion_version(self._name))
            self._refusal, wait = None, POLL_S
        except PatronError as error:
            if self._held is not None and str(error) != str(self._refusal):
                _log.error("%s version %s goes on answering: %s", self._name, self._held.version, error)
            self._refusal, wait = error, POLL_S if self._held is None else RETRY_S
        self._look_at = self._clock() + wait

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._home)
