"""The refresher: keeps online rows at what is known, one process per home, or per shard of its customers.

Live cycles follow the news. When the shop's day is over everyone is computed anew, since windows and
recency count days, and now and then what arrived moves into the lake; both go on in a process beside. Of
several shards only the first one starts these.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Protocol

from core import child_process
from core.calendar import moment
from core.child_process import ChildProcess
from core.errors import NothingThere, PatronError, in_words
from core.home import Home
from core.settings import FeatureSettings
from events import journal, lake
from features.live.heartbeat import Heart
from features.live.lease import lease
from features.live.progress import Watermark
from features.live.recompute import LiveUpdater
from features.live.shards import Division, Shard
from features.offline import build
from records.deliveries import due

TICK_S = 0.25
LONGEST_PAUSE_S = 30.0  # between attempts, where a store is away
REST_S = 60.0  # from one build to the next, or one compaction
NICENESS = 10  # of tasks in the background
OLDEST_S = 3600.0  # what a message waits for a compaction at most
_log = logging.getLogger(__name__)


class Task(Protocol):
    """A task in the background."""

    def poll(self) -> int | None:
        """Return the exit code, which is 0 on success; None while the task runs."""


StartTask = Callable[[Home, str], Task]
TASKS: Mapping[str, Sequence[str]] = {
    "build": ("build", "--no-monthly", "--json"),
    "compact": ("compact", "--json"),
    "deliver": ("deliver", "--json"),
}
"""The commands that carry out the tasks; ``--json`` keeps progress bars out of the service's terminal."""


def start_task(home: Home, task: str) -> ChildProcess:
    """Start a task of ``TASKS`` in a child process that yields the processor to those who serve."""
    return child_process.start(home, *TASKS[task], niceness=NICENESS)


class Refresher:
    """Follows the news of a home, and starts what is due.

    Args:
        start: starts a task in the background, ``build``, ``compact`` or ``deliver``.
        counts: counts recomputed customers, and tasks by their outcome.
    """

    def __init__(
        self,
        home: Home,
        start: StartTask = start_task,
        counts: Counter[str] | None = None,
        shard: Shard | None = None,
    ) -> None:
        self.home, self._start, self._shard = home, start, shard or Shard()
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._compact_after = FeatureSettings().compact_after
        self._live: LiveUpdater | None = None
        self._catalogued = False
        self._work: tuple[str, Task] | None = None
        self._began: dict[str, datetime] = {}
        self._deliveries: Task | None = None  # beside the other tasks, since it may take hours
        self._looked_at: datetime | None = None
        self._covers = 0  # up to which message the build that goes on knows everybody

    def tick(self, stop: threading.Event | None = None) -> bool:
        """Do what is to be done now; returns whether anything was, or goes on.

        Raises:
            PatronError: a store is away, or what went on beside failed; another tick tries again.
        """
        if not self.home.shop().live:
            return False
        if self._live is None or not self._live.reads_as_promoted():
            self._live, self._catalogued = LiveUpdater(self.home, self._shard), False
        live, forgotten = self._live, lake.metadata(self.home).forgotten_seq
        self._look_after(live)
        if self._shard.is_first:
            self._deliver()
        if live.mark.done < forgotten <= Division.read(self.home).covered:
            live.advance_to(forgotten)
        if not self._ready(live) or self._done(live) < forgotten:
            # Rows cannot be written yet, or the journal no longer tells of everybody who is in the news.
            self._begin("build", covers=forgotten)
            return True
        try:
            recomputed = live.catch_up(stop)
        except NothingThere:  # the online store was emptied, or filled before a restore
            self._begin("build", covers=forgotten)
            return True
        self.counts["customers"] += recomputed
        busy = recomputed > 0
        if not self._shard.is_first:
            return busy
        if build.due(self.home):
            busy = self._begin("build", covers=forgotten) or busy
        elif not busy and self._full(live):
            busy = self._begin("compact")
        return busy or self._work is not None

    def _look_after(self, live: LiveUpdater) -> None:
        if self._work is None or (ended := self._work[1].poll()) is None:
            return
        (task, _), self._work = self._work, None
        self.counts[f"{task} {'failed' if ended else 'done'}"] += 1
        if ended:
            raise PatronError(f"the {task} in the background failed ({ended}); it is tried again")
        if task == "build":
            live.advance_to(self._covers)
            if self._shard.count > 1:
                Division(self._shard.count, self._covers).write(self.home)

    def _deliver(self) -> None:
        """Start the deliveries that are due, once a minute at most; the child logs why one failed."""
        if self._deliveries is not None and (ended := self._deliveries.poll()) is not None:
            self.counts[f"deliver {'failed' if ended else 'done'}"] += 1
            self._deliveries = None
        now, last = self.home.wall(), self._looked_at
        if self._deliveries is None and (last is None or abs((now - last).total_seconds()) >= REST_S):
            self._looked_at = now
            if due.due(self.home):
                self._deliveries = self._start(self.home, "deliver")

    def _ready(self, live: LiveUpdater) -> bool:
        """Whether the catalogue is of this code's definitions and the home's; else a build makes it so."""
        now = build.catalogued(live.store)
        if self._catalogued and not now:
            raise PatronError(
                "the online store is filled by another version of Patron by now; restart this one's processes"
            )
        self._catalogued = now
        return now

    def _begin(self, task: str, covers: int = 0) -> bool:
        """Start a task, unless one goes on or this one was begun a moment ago; returns whether it was.

        The first shard does this for all.
        """
        if not self._shard.is_first:
            return False
        now, last = self.home.wall(), self._began.get(task)
        if self._work or (last is not None and abs((now - last).total_seconds()) < REST_S):
            return False
        self._began[task], self._covers = now, covers
        self._work = task, self._start(self.home, task)
        return True

    def _done(self, live: LiveUpdater) -> int:
        """The last message that this shard included; of the first shard, that every one did."""
        if self._shard.count == 1 or not self._shard.is_first:
            return live.mark.done
        covered = Division.read(self.home).covered
        return max(Watermark.of_all(self.home).done, min(covered, live.mark.done))

    def _full(self, live: LiveUpdater) -> bool:
        """Whether enough is in the journal to move, or for long enough, and nobody needs it there."""
        compacted = lake.current(self.home).compacted_seq
        mark = live.mark if self._shard.count == 1 else Watermark.of_all(self.home)
        waiting = mark.done - compacted
        if waiting <= 0 or mark.again_after is not None:
            return False
        oldest = journal.oldest(live.database, compacted)
        aged = oldest is not None and (self.home.wall() - moment(oldest)).total_seconds() > OLDEST_S
        return waiting > self._compact_after or aged


def refresh(
    home: Home, stop: threading.Event, start: StartTask = start_task, shard: Shard | None = None
) -> None:
    """Keep the online rows of a shard at what is known until told to stop; wait while another process does.

    Raises:
        NothingThere: there is no shop.
        PatronError: refreshers of another number of shards work.
    """
    home.shop()
    shard = shard or Shard()
    with lease(home, shard, stop) as works, Heart(home, shard) if works else nullcontext() as heart:
        counts = heart.counts if heart else Counter[str]()
        refresher, pause, last_error = Refresher(home, start, counts, shard), TICK_S, ""
        while works and not stop.wait(pause):
            try:
                refresher.tick(stop)
                pause, last_error = TICK_S, ""
            except Exception as error:
                counts["errors"] += 1
                words = in_words(error)
                if words != last_error:
                    _log.error("%s", words)
                if not isinstance(error, PatronError):
                    refresher = Refresher(home, start, counts, shard)
                pause, last_error = min(2 * pause, LONGEST_PAUSE_S), words


def refresh_once(home: Home, start: StartTask = start_task) -> int:
    """Compute who is in the news, and everyone where that is due; returns the number of the last message.

    Raises:
        PatronError: that is not possible, or another process does so already.
    """
    home.shop()
    stop = threading.Event()
    stop.set()
    with lease(home, Shard(), stop) as works:
        if not works:
            raise PatronError(f"another process refreshes {home.path} already; it does what is to be done")
        refresher = Refresher(home, start)
        while refresher.tick():
            stop.clear()
            stop.wait(TICK_S)
        live = refresher._live
        return live.mark.done if live is not None else 0
