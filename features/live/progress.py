"""How far the refresher is: the last message whose customer was computed, per shard."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from core import files
from core.calendar import moment
from core.home import Home
from core.storage.database import Database
from events import journal
from features.live.shards import Division, Shard, shards_of


@dataclass(frozen=True)
class Watermark:
    """How far a shard is. It may lag behind the rows, since computing them again changes nothing.

    Attributes:
        done: the number of the last message whose customer was computed since.
        as_of_us: the moment of the newest rows; later ones are never of an earlier moment.
        again_after: after which message customers are to be computed again, once the boundaries of
            their month are there.
    """

    done: int = 0
    as_of_us: int = 0
    again_after: int | None = None

    @classmethod
    def read(cls, home: Home, shard: Shard | None = None) -> Watermark:
        """The mark of a shard; all is to be done where there is none, or none that can be read."""
        try:
            return cls(**json.loads((shard or Shard()).progress_file(home).read_text()))
        except (OSError, ValueError, TypeError):
            return cls()

    @classmethod
    def of_all(cls, home: Home) -> Watermark:
        """The mark up to which every shard is."""
        marks = [cls.read(home, shard) for shard in Division.read(home).shards]
        again = [mark.again_after for mark in marks if mark.again_after is not None]
        return cls(
            min(mark.done for mark in marks), max(mark.as_of_us for mark in marks), min(again, default=None)
        )

    def write(self, home: Home, shard: Shard | None = None) -> None:
        """Store it, in one step."""
        files.replace((shard or Shard()).progress_file(home), json.dumps(asdict(self)))


@dataclass(frozen=True)
class Lag:
    """What online rows do not know yet: how many messages, and the age of the oldest."""

    messages: int
    seconds: float


def lag(home: Home, database: Database) -> Lag:
    """How far online rows are behind what arrived; with shards, those of the slowest.

    Raises:
        PatronError: the database cannot be read.
    """
    done = Watermark.of_all(home).done
    waiting = journal.last(database) - done
    oldest = journal.oldest(database, done) if waiting > 0 else None
    age = home.wall() - moment(oldest) if oldest is not None else timedelta(0)
    return Lag(max(waiting, 0), max(age.total_seconds(), 0.0))


def divide(home: Home, count: int) -> None:
    """Divide the customers of a home into another number of shards; no refresher may work meanwhile.

    Every new shard begins where the slowest of the old ones was, so nothing is lost. It may be repeated after
    a kill.
    """
    before = Division.read(home)
    if before.count == count:
        return
    mark = Watermark.of_all(home)
    home.refreshers.mkdir(exist_ok=True)
    for shard in shards_of(count):
        mark.write(home, shard)
        shard.heartbeat_file(home).unlink(missing_ok=True)
    replace(before, count=count).write(home)
    for shard in before.shards:
        shard.progress_file(home).unlink(missing_ok=True)
        shard.heartbeat_file(home).unlink(missing_ok=True)
