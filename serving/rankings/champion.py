"""The promoted version of a model, opened at the first request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic

from core.errors import PatronError
from models.registry.registry import Registry
from serving.rankings.ranking import R
from serving.scores.champion_watch import RETRY_S, ChampionWatch

_log = logging.getLogger(__name__)


class LazyChampion(Generic[R]):
    """Opens the promoted version of a model when it is first used, and another once it is promoted.

    A service without requests opens nothing. Not thread-safe.

    Args:
        model: its name in the registry.
    """

    def __init__(self, model: str, watch: ChampionWatch, open_version: Callable[[Registry, str], R]) -> None:
        self._model, self._watch, self._open_version = model, watch, open_version
        self._opened: R | None = None
        self._failed: tuple[str | None, PatronError] | None = None  # the version that could not be opened
        self._retry_at = 0.0
        self._logged = ""

    def current(self) -> R:
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

    def _open(self, version: str | None) -> R:
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
