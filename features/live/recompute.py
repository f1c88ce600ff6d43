"""The live path: whoever is in the news is computed anew, by the definitions, and written online.

An online row is what :func:`features.group.compute` gives over lake and journal as of the row's own moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from core.calendar import day_of, micros, moment
from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from events import journal
from events.lake.buckets import History
from events.schema import POPULATION
from features.catalogue.store import Store
from features.groups import groups_of
from features.live import compiled
from features.live.progress import Watermark
from features.live.shards import Shard
from features.offline import boundaries
from features.online.rows import latest_now
from features.text import opinions
from features.text.opinions import TextReader

CHUNK = 2000  # customers computed together, in half a second; each time 0.2 s go into planning the queries
_POPULATION = ibis.schema(POPULATION).to_pyarrow()
_log = logging.getLogger(__name__)


class LiveUpdater:
    """Computes the customers of a shard anew; for one thread of one process per shard.

    Raises:
        PatronError: from every method, where a store cannot be used.
    """

    def __init__(self, home: Home, shard: Shard | None = None) -> None:
        self.home, self.database, self.store = home, Database(home), Store(home)
        self.shard = shard or Shard()
        self.mark = Watermark.read(home, self.shard)
        self._history = History(home, self.database, FeatureSettings().live_cache_mb * 1024**2)
        self._stamp, self._reader = opinions.stamp(home), TextReader.of(home)
        self._groups = groups_of(home)
        self._compiled = compiled.compile_groups(self._groups)
        self._connection = compiled.open_connection()
        self._divided: tuple[tuple[Path, ...], pa.Table] = (), boundaries.table(())

    def catch_up(self, stop: threading.Event | None = None) -> int:
        """Compute everybody of whom messages came; returns how many customers that were.

        Args:
            stop: leave off between two chunks; the rest is computed another time.
        """
        self._return_where_due()
        news = journal.changes(self.database, self.mark.done)
        if news.upto == self.mark.done:
            return 0
        as_of_us = self._next(news.received_at_us)
        as_of, mark = moment(as_of_us), replace(self.mark, as_of_us=as_of_us)
        if boundaries.missing(self.home, as_of):
            mark = replace(mark, again_after=self.mark.done if mark.again_after is None else mark.again_after)
        else:
            self._divide(as_of)
        # Of the moment it is told before rows are written, of what is done once they are.
        self._keep(mark)
        customer_keys = [key for key in news.customer_keys if self.shard.owns(key)]
        for start in range(0, len(customer_keys), CHUNK):
            if (stop is not None and stop.is_set()) or not self.reads_as_promoted():
                return start
            self._recompute(customer_keys[start : start + CHUNK], as_of)
        self.store.forget([key for key in news.merged if self.shard.owns(key)])
        self._keep(replace(mark, done=news.upto))
        return len(customer_keys)

    def cycle(self, customer_keys: Sequence[int], as_of: datetime) -> None:
        """Compute some customers as of a moment and write their rows, all groups in one step."""
        events = self._history.of(customer_keys)
        known = _known(events, as_of)
        if len(known):
            tables = valid_at(events, as_of) | {"boundaries": self._divided[1]}
            tables["opinions"] = self._reader.opinions(tables["activities"])
            population = _population(known, as_of, self.home.shop().time_zone)
            self.store.write_online(compiled.run(self._connection, self._compiled, tables, population))

    def reads_as_promoted(self) -> bool:
        """Whether texts are read by the home's present classifier, and the declared traits are the same."""
        return self._stamp == opinions.stamp(self.home) and self._groups is groups_of(self.home)

    def advance_to(self, seq: int) -> None:
        """Leave out the messages up to a number, whose customers were all computed otherwise."""
        self._keep(replace(self.mark, done=max(seq, self.mark.done)))

    def _return_where_due(self) -> None:
        """Go back to where boundaries were missing, or to the beginning where the journal is another one."""
        again = self.mark.again_after
        if self.mark.done > journal.last(self.database):
            self._keep(Watermark())
        elif again is not None and not boundaries.missing(self.home, self.home.shop().now()):
            self._keep(replace(self.mark, done=min(again, self.mark.done), again_after=None))

    def _next(self, received_at_us: int) -> int:
        """A moment at which all of the news is visible, after that of all rows so far."""
        now = micros(self.home.wall())
        last = self.mark.as_of_us
        # What is further ahead was written by another clock, and gives way.
        last = last if last <= latest_now(self.home.shop()) else 0
        return max(now, received_at_us, last) + 1

    def _divide(self, as_of: datetime) -> None:
        """Read the boundaries in force, where others were before."""
        files = boundaries.current_files(self.home, as_of)
        if files != self._divided[0]:
            self._divided = files, boundaries.table(files)

    def _recompute(self, customer_keys: Sequence[int], as_of: datetime) -> None:
        """A cycle that passes over customers whose events cannot be computed."""
        try:
            self.cycle(customer_keys, as_of)
        except PatronError:
            raise
        except Exception as error:
            if len(customer_keys) > 1:
                half = len(customer_keys) // 2
                self._recompute(customer_keys[:half], as_of)
                self._recompute(customer_keys[half:], as_of)
            else:
                _log.error("the features of a customer cannot be computed: %s", type(error).__name__)

    def _keep(self, mark: Watermark) -> None:
        if mark != self.mark:
            mark.write(self.home, self.shard)
            self.mark = mark


def _known(events: Mapping[str, pa.Table], as_of: datetime) -> list[int]:
    """Of whom anything was known at a moment; see :func:`features.offline.populations.everyone`."""
    at = pa.scalar(as_of.replace(tzinfo=None), pa.timestamp("us"))
    keys: set[int] = set()
    for name in ("order_lines", "traits", "activities"):
        table = events[name]
        seen = pc.and_(pc.less(table["timestamp"], at), pc.less_equal(table["received_at"], at))
        keys |= set(pc.unique(table["customer_key"].filter(seen)).to_pylist())
    return sorted(keys)


def valid_at(events: Mapping[str, pa.Table], as_of: datetime) -> dict[str, pa.Table]:
    """The rows that no version of their order known at a moment replaces, and ``replaced_lines``.

    See :func:`events.schema.visible` and :func:`events.schema.replaced`.
    """
    at, valid = pa.scalar(as_of.replace(tzinfo=None), pa.timestamp("us")), dict(events)
    for name, table in events.items():
        if "replaced_at" in table.column_names:
            gone = pc.fill_null(pc.less_equal(table["replaced_at"], at), False)
            rows = table.drop(["replaced_at"])
            valid[name] = rows.filter(pc.invert(gone))
            if name == "order_lines":
                valid["replaced_lines"] = rows.filter(gone)
    return valid


def _population(customer_keys: Sequence[int], as_of: datetime, zone: str) -> pa.Table:
    count, at = len(customer_keys), as_of.replace(tzinfo=None)
    return pa.table([customer_keys, [at] * count, [day_of(as_of, zone)] * count], schema=_POPULATION)
