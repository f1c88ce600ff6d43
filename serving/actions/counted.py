"""The catalogue with its counts of customers, counted once per version, build and score job."""

from __future__ import annotations

from typing import Any

from core.errors import NothingThere
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.listing import count_fits, describe_audiences
from decisions.catalogue.saved import read_saved
from decisions.policies.reach import ReachSource
from features.offline.current import current_files
from models.questions import every
from records.score_jobs import ScoreJobStore

MAX_STORED = 8


class CountedCatalogues:
    """Describes catalogues of a home; counting reads the features of all customers, which takes a while."""

    def __init__(self, home: Home, reach: ReachSource) -> None:
        self._home, self._reach = home, reach
        self._described: dict[object, dict[str, Any]] = {}

    def describe(self, actions: Actions) -> dict[str, Any]:
        """As :func:`decisions.catalogue.listing.describe`, without counting again what did not change.

        Raises:
            PatronError: the features of all customers cannot be read.
        """
        audiences = str(read_saved(self._home))
        key = (actions.digest, audiences, self._home.shop().today(), *self._source())
        if key not in self._described:
            while len(self._described) >= MAX_STORED:
                self._described.pop(next(iter(self._described)), None)
            self._described[key] = count_fits(self._home, actions)
        return self._described[key] | {"audiences": describe_audiences(self._home, actions, self._reach)}

    def _source(self) -> list[object]:
        """What the counts are computed from: the build, and the newest whole score job of each model."""
        try:
            as_of, _ = current_files(self._home)
        except NothingThere:
            return []
        jobs = ScoreJobStore(self._home)
        newest = (jobs.newest_whole(name) for name in every())
        return [as_of, *(job and job.id for job in newest)]
