"""A home as one command works on it: its settings, the snapshots of its last build, and its feature store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.home import Home
from core.progress import Progress, silent
from core.shop import Shop
from features.catalogue.store import Store
from features.offline.build import build
from features.offline.snapshot_set import SnapshotSet


@dataclass(frozen=True)
class Workspace:
    """What training, comparisons and reports read, opened once and passed on.

    Attributes:
        snapshots: the features of all customers, as of each month and now.
    """

    home: Home
    snapshots: SnapshotSet

    @classmethod
    def build(cls, home: Home, progress: Progress = silent) -> Workspace:
        """Compute the features that are missing, for every month and now, and open the result.

        Raises:
            NothingThere: there is no shop.
        """
        home.shop()  # before anything is computed
        return cls(home, build(home, True, progress))

    @cached_property
    def shop(self) -> Shop:
        """The shop's settings as they are when they are first read."""
        return self.home.shop()

    @cached_property
    def store(self) -> Store:
        """The feature store; reading it is safe from many threads."""
        return Store(self.home)
