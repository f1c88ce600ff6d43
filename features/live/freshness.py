"""Whether online features keep up with the events: the refresher works, and is not behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from core.calendar import micros
from core.errors import PatronError, in_words
from core.home import Home
from core.storage.database import Database
from features.live import progress
from features.live.heartbeat import Heartbeat
from features.live.progress import Lag
from features.live.shards import Division, Shard

POLL_S = 1.0
MAX_SILENCE_S = 15.0  # of the refresher, which writes its heartbeat every two seconds
MAX_LAG_S = 60.0  # of a message; the refresher usually takes one or two
MAX_UNKNOWN_S = 60.0  # that the lag may be unknown, since the database fails or hangs
_UNKNOWN = "how far the refresher is behind cannot be read from the database"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Freshness:
    """How current the online features are.

    Attributes:
        heartbeat: of the refresher, of all shards together; None if none ever worked in this home.
        silence_s: seconds since the last heartbeat, of the most silent shard; None without one.
        shards, silent_shards: the shards of the home, and those that give no sign.
        lag: None while the database cannot be read.
        reason: why the features are not current; None if they are.
    """

    heartbeat: Heartbeat | None = None
    silence_s: float | None = None
    shards: int = 1
    silent_shards: int = 0
    lag: Lag | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Sign:
    """The last sign of a shard.

    Attributes:
        silence_s: seconds since the heartbeat.
    """

    shard: Shard
    heartbeat: Heartbeat | None
    silence_s: float | None

    @property
    def is_missing(self) -> bool:
        return self.silence_s is None or self.silence_s > MAX_SILENCE_S

    @property
    def words(self) -> str:
        """Why the features of the shard are not current, and what to do."""
        if self.heartbeat is None or self.silence_s is None:
            if self.shard.count == 1:
                return "no refresher works; start `patron refresh`"
            return f"no refresher works for shard {self.shard.name}; start `{self.shard.command}`"
        of_shard = "" if self.shard.count == 1 else f" of shard {self.shard.name}"
        return (
            f"the refresher{of_shard} ({self.heartbeat.words}) gave no sign for {self.silence_s:.0f} s;"
            f" start `{self.shard.command}`"
        )


class FreshnessMonitor:
    """Reads the heartbeat and the lag of a home; once started, every ``POLL_S`` seconds in a thread.

    The age of a heartbeat is counted from the moment at which this process saw it change, so clocks that jump
    or differ between machines do not matter. Only an unchanged one is compared with the wall clock.

    Args:
        clock: in seconds.
        grace_s: how long after the start of this process a refresher may be missing.
    """

    def __init__(
        self, home: Home, clock: Callable[[], float] = monotonic, grace_s: float = MAX_SILENCE_S
    ) -> None:
        self._home, self._database, self._clock, self._grace_s = home, Database(home), clock, grace_s
        self._live = home.shop().live
        self._started_at = self._lag_at = clock()
        self._seen: dict[Shard, Heartbeat | None] = {}
        self._changed_at: dict[Shard, float] = {}
        self._last = Freshness()
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    @property
    def reason(self) -> str | None:
        """Why the features are not current, as last read; None if they are, or before the first reading."""
        if self._thread.ident is not None and self._clock() - self._lag_at > MAX_UNKNOWN_S:
            return _UNKNOWN  # a reading may hang
        return self._last.reason

    def start(self) -> None:
        """Start the thread, for a shop that receives events; again after :meth:`close`, too."""
        if not self._live:
            return
        if self._thread.ident is not None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a reading that hangs is left behind."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(POLL_S)

    def current(self) -> Freshness:
        """As last read by the thread; read now if the thread does not run."""
        return replace(self._last, reason=self.reason) if self._thread.is_alive() else self.read()

    def read(self) -> Freshness:
        """Read the heartbeat and the lag now. In a shop whose clock stands, features are always current."""
        if self._live:
            with self._reading:
                self._last = self._read()
        return self._last

    def _read(self) -> Freshness:
        signs = [self._sign(shard) for shard in Division.read(self._home).shards]
        lag = self._lag()
        if lag is not None:
            self._lag_at = self._clock()
        silences = [sign.silence_s for sign in signs if sign.silence_s is not None]
        return Freshness(
            Heartbeat.of_all([sign.heartbeat for sign in signs if sign.heartbeat is not None]),
            max(silences, default=None), len(signs), sum(sign.is_missing for sign in signs),
            lag, self._reason(signs, lag),
        )  # fmt: skip

    def _sign(self, shard: Shard) -> _Sign:
        heartbeat, now, seen = Heartbeat.read(self._home, shard), self._clock(), self._seen.get(shard)
        if heartbeat != seen:
            self._changed_at.pop(shard, None)
            if seen is not None:
                self._changed_at[shard] = now
            self._seen[shard] = heartbeat
        return _Sign(shard, heartbeat, self._silence_s(shard, heartbeat, now))

    def _lag(self) -> Lag | None:
        try:
            return progress.lag(self._home, self._database)
        except PatronError:
            return None

    def _silence_s(self, shard: Shard, heartbeat: Heartbeat | None, now: float) -> float | None:
        if heartbeat is None:
            return None
        if shard in self._changed_at:
            return now - self._changed_at[shard]
        return abs(micros(self._home.wall()) - heartbeat.beat_at_us) / 1e6

    def _reason(self, signs: Sequence[_Sign], lag: Lag | None) -> str | None:
        if len(signs) > 1 and not self._begins and (missing := [sign for sign in signs if sign.is_missing]):
            return missing[0].words  # it explains the lag
        if lag is not None and lag.seconds > MAX_LAG_S:
            return (
                f"the refresher is behind: {lag.messages:,} messages are not in the features, the oldest for"
                f" {lag.seconds:.0f} s"
            )
        if self._clock() - self._lag_at > MAX_UNKNOWN_S:
            return _UNKNOWN
        if self._begins or not signs[0].is_missing:
            return None
        return signs[0].words

    @property
    def _begins(self) -> bool:
        """Whether a refresher that started with the service may need some more seconds."""
        return self._clock() - self._started_at < self._grace_s

    def _run(self) -> None:
        logged: str | None = None
        while True:
            try:
                reason = self.read().reason
            except Exception as error:  # the home may be replaced meanwhile
                reason = in_words(error)
            if reason is not None and logged is None:
                _log.error("features are not current: %s", reason)
            elif reason is None and logged is not None:
                _log.warning("features are current again")
            logged = reason
            if self._stop.wait(POLL_S):
                return
