"""The promoted version of a model, opened at the first request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from time import monotonic
from typing import Generic

from core.errors import PatronError
from core.home import Home
from models.registry.registry import Registry
from serving.rankings.ranking import R
from serving.scores.champions import POLL_S, RETRY_S

_log = logging.getLogger(__name__)


class LazyChampion(Generic[R]):
    """Opens the promoted version of a model, and looks at most twice a second whether it still is.

    A service without requests opens nothing. It is used in one thread.

    Args:
        model: its name in the registry.
        clock: in seconds.
    """

    def __init__(
        self,
        model: str,
        home: Home,
        open_version: Callable[[Registry, str], R],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._model, self._home, self._open_version, self._clock = model, home, open_version, clock
        self._opened: R | None = None
        self._failure: PatronError | None = None
        self._look_at = 0.0

    def current(self) -> R:
        """The promoted version; the one before while that cannot be opened.

        Raises:
            PatronError: no version was promoted, or it cannot be opened, and none was open before.
        """
        if self._clock() >= self._look_at:
            self._look()
        if self._opened is None:
            assert self._failure is not None
            raise self._failure
        return self._opened

    def _look(self) -> None:
        try:
            promoted = self._registry.champions([self._model]).get(self._model)
            if self._opened is None or promoted != self._opened.version:
                # Without a promoted version, the second call raises with the reason.
                version = promoted or self._registry.champion_version(self._model)
                self._opened = self._open_version(self._registry, version)
            self._failure, wait = None, POLL_S
        except PatronError as error:
            if self._opened is not None and str(error) != str(self._failure):
                _log.error("%s version %s goes on answering: %s", self._model, self._opened.version, error)
            self._failure, wait = error, POLL_S if self._opened is None else RETRY_S
        self._look_at = self._clock() + wait

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._home)
