"""Whom channels reach, counted anew when what that depends on changes: of a large shop in the background."""

from __future__ import annotations

import logging
import threading
import time
from typing import Annotated, Any, TypeAlias

from core.errors import NothingThere, StoreUnavailable, in_words
from core.home import Home
from core.storage.database import Database
from decisions.everybody import EverybodyFiles
from decisions.policies.reach import ChannelReach, ReachedCustomers, reach_now
from events import journal, lake
from records.contacts.marketing import count_marketing
from serving.http.services import service

MAX_AT_ONCE = 100_000
"""Customers of a shop whose reach a request counts itself."""
PERIOD_S = 300
"""Seconds of the shop's clock after which it is counted anew, since suppressions end."""
PAUSE_S = 60.0
"""Seconds between two counts of a large shop, in which statements arrive all the time."""
Stamp: TypeAlias = tuple[Any, ...]
_log = logging.getLogger(__name__)


class CurrentReach:
    """Whom channels reach, as it was last counted; a :data:`~decisions.policies.reach.ReachSource`.

    Args:
        pause_s: seconds between two counts of a large shop.
    """

    def __init__(self, home: Home, pause_s: float = PAUSE_S) -> None:
        self._home, self._pause_s = home, pause_s
        self._database = Database(home)
        self._lock = threading.Lock()
        self._counted: tuple[Stamp, ReachedCustomers] | None = None
        self._thread: threading.Thread | None = None
        self._began_s = -pause_s

    def __call__(self, files: EverybodyFiles, reach: ChannelReach) -> ReachedCustomers | None:
        """Whom channels reach. In a large shop as it was counted last, while a thread counts what changed
        since; None before the first count.

        Raises:
            StoreUnavailable: the database cannot be read, and nothing was counted yet.
            PatronError: a store cannot be read.
        """
        try:
            stamp = self._stamp(files, reach)
        except StoreUnavailable:
            if self._counted is None:
                raise
            return self._counted[1]
        if self._counted is not None and self._counted[0] == stamp:
            return self._counted[1]
        if files.customers <= MAX_AT_ONCE:
            self._counted = stamp, reach_now(files, reach)
        else:
            self._start(stamp, files, reach)
        return None if self._counted is None else self._counted[1]

    @property
    def is_counting(self) -> bool:
        """Whether a thread counts now."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Wait for the count that runs."""
        with self._lock:
            thread, self._began_s = self._thread, float("inf")
        if thread is not None:
            thread.join()

    def _start(self, stamp: Stamp, files: EverybodyFiles, reach: ChannelReach) -> None:
        with self._lock:
            if self.is_counting or time.monotonic() - self._began_s < self._pause_s:
                return
            self._began_s = time.monotonic()
            self._thread = threading.Thread(
                target=self._count, args=(stamp, files, reach), name="reach", daemon=True
            )
            self._thread.start()

    def _count(self, stamp: Stamp, files: EverybodyFiles, reach: ChannelReach) -> None:
        try:
            self._counted = stamp, reach_now(files, reach)
        except Exception as error:
            _log.error("whom channels reach was not counted: %s", in_words(error))

    def _stamp(self, files: EverybodyFiles, reach: ChannelReach) -> Stamp:
        """What the reach is counted from; equal while nothing of it changed."""
        try:
            newest = journal.last(self._database)
        except NothingThere:  # nothing ever arrived
            newest = 0
        return (
            files.features, reach.settings, lake.metadata(self._home).generation,
            newest, count_marketing(self._home),
            int(self._home.shop().now().timestamp() // PERIOD_S),
        )  # fmt: skip


ReachDep = Annotated[CurrentReach, service(CurrentReach)]
