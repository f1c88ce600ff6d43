"""The log of answers: which scores were given to whom, from which features. In the home's database.

It lies below both serving, which writes it, and training, which learns from it. Rows name
customers by ``customer_key`` only.

Writing happens off the request's path: :meth:`ScoreLog.put` counts the rows in a memory-mapped
file and queues them, a thread commits what is queued every ``FLUSH_SECONDS``. The counter outlives
a killed process, so the next writer of the machine finds how many rows the killed one had accepted
but not committed, and records that number as lost.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import sqlalchemy as sa
from pydantic_core import to_json

from core import files, locks
from core.calendar import micros
from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage.database import METADATA, Database, Key, Turn, insert
from records import batches as many
from records import frames, job_parts
from records.batches import AnsweredTogether

FLUSH_SECONDS = 0.25
BATCH = 1000  # rows in a transaction, so that other writers do not wait long
NOBODY = NO_FEATURES = 0  # of a row that holds the answers to a large request
MOST_QUEUED_ROWS = 200_000  # while the disk is full; further rows are dropped and counted
# Known by the digest of their names, so that writers need not ask which number a set has.
feature_sets = sa.Table(
    "feature_sets",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("names", sa.Text, nullable=False),
)
scores = sa.Table(
    "scores",
    METADATA,
    sa.Column("id", Key, primary_key=True, autoincrement=True),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("customer_key", Key, nullable=False),
    sa.Column("as_of_us", sa.BigInteger),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("feature_set", sa.BigInteger, nullable=False),
    sa.Column("vector", sa.Text, nullable=False),
    sa.Column("answers", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, index=True),
    sa.Column("moments", sa.Text),
    sa.Column("context", sa.Text),
    # Of a large request all answers: the row itself is of nobody then, and has no vector.
    sa.Column("many", sa.LargeBinary),
)
writers = sa.Table(
    "score_writers",
    METADATA,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """One customer's answer as it is logged.

    Attributes:
        at: when, by the shop's clock. day: the shop's day of it.
        as_of: the moment of the features used.
        route: ``api``, ``portrait`` or ``bulk``.
        features: the names of the values in ``vector``, which are as the store holds them.
        answers: per model ``{"version": "3", "score": 0.41}``.
        prediction_id: by which it can be asked for later.
        moments: per group the as_of of its features, in microseconds since 1970.
        context: the values of the vector that came with the request.
    """

    at: datetime
    day: int
    customer_key: int
    as_of: datetime | None
    route: str
    features: tuple[str, ...]
    vector: Sequence[Any]
    answers: dict[str, dict[str, Any]]
    prediction_id: str | None = None
    moments: Mapping[str, int | None] | None = None
    context: Mapping[str, Any] | None = None


class ScoreLog:
    """Appends answers to a home's log. Close it, or leave its ``with``, to commit what is queued."""

    def __init__(self, home: Home) -> None:
        self.home, self.database = home, Database(home)
        self.session = uuid.uuid4().hex
        self.database.prepare()
        try:
            home.logs.mkdir(parents=True, exist_ok=True)
            self.lost_before = _settle(self.database, home.logs)
            self._counter, self._file = _counter(home.logs / f"{self.session}.accepted")
        except OSError as error:
            raise PatronError(f"the folder {home.logs} cannot be written: {error}") from error
        self._queue: deque[Answered | AnsweredTogether] = deque()
        self._sets: dict[tuple[str, ...], int] = {}  # those that the database has
        self.accepted = self.written = self.dropped = self._named = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score-log", daemon=True)
        self._thread.start()

    def put(self, rows: Sequence[Answered]) -> None:
        """Queue answers; returns at once. What is put is committed within ``FLUSH_SECONDS``."""
        self._put(rows, len(rows))

    def put_together(self, rows: AnsweredTogether) -> None:
        """The same of the answers to a large request."""
        self._put([rows], len(rows))

    def _put(self, items: Sequence[Answered | AnsweredTogether], count: int) -> None:
        with self._lock:
            full = self.queued + count > MOST_QUEUED_ROWS
            self.accepted += count
            self._counter[:8] = self.accepted.to_bytes(8, "little")
            self.dropped += count if full else 0
        if not full:
            self._queue.extend(items)

    def prediction_ids(self, count: int) -> list[str]:
        """Ids for answers, which no other has, here or elsewhere."""
        with self._lock:
            first, self._named = self._named, self._named + count
        return [f"{self.session}{first + i:x}" for i in range(count)]

    @property
    def queued(self) -> int:
        """Rows that wait to be committed."""
        return self.accepted - self.written - self.dropped

    def wait(self) -> None:
        """Return once the queue has room: for bulk writers, which are faster than the disk."""
        while self.queued > MOST_QUEUED_ROWS // 4 and self._thread.is_alive():
            time.sleep(FLUSH_SECONDS / 5)

    def close(self) -> None:
        """Commit everything queued and let go of the files."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        if not self._queue:
            self._file.close()
            (self.home.logs / f"{self.session}.accepted").unlink(missing_ok=True)
        self.database.close()

    def __enter__(self) -> ScoreLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._queue:
            rows, count = self._some()
            names = {row.features for row in rows if isinstance(row, Answered)}
            fresh = {some: _set_id(some) for some in names if some not in self._sets}
            written = [_row(row, self._sets | fresh) for row in rows]
            try:
                with self.database.writing(Turn.ANY, durable=False) as connection:
                    for some, number in fresh.items():
                        known = insert(connection, feature_sets).on_conflict_do_nothing()
                        connection.execute(known, {"id": number, "names": json.dumps(some)})
                    connection.execute(sa.insert(scores), written)
                    _count(connection, self.session, {"written": self.written + count})
            except PatronError as error:
                self._sets.clear()  # it may have been another database
                self._queue.extendleft(reversed(rows))
                _log.error("the log of scores cannot be written, will try again: %s", error)
                return
            self.written += count
            self._sets |= fresh

    def _some(self) -> tuple[list[Answered | AnsweredTogether], int]:
        """What is written in one transaction, and how many answers that are."""
        some: list[Answered | AnsweredTogether] = []
        count = 0
        while self._queue and count < BATCH:
            some.append(self._queue.popleft())
            count += len(some[-1]) if isinstance(some[-1], AnsweredTogether) else 1
        return some, count


def _set_id(names: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(names).encode()).digest()[:8], "big", signed=True)


def _row(row: Answered | AnsweredTogether, sets: Mapping[tuple[str, ...], int]) -> dict[str, Any]:
    if isinstance(row, AnsweredTogether):
        return {
            "at_us": micros(row.at),
            "day": row.day,
            "customer_key": NOBODY,
            "as_of_us": None,
            "route": row.route,
            "feature_set": NO_FEATURES,
            "vector": "[]",
            "answers": _json(row.versions),
            "prediction_id": row.prediction_id,
            "moments": None,
            "context": None,
            "many": many.pack(row.table),
        }
    return {
        "at_us": micros(row.at),
        "day": row.day,
        "customer_key": row.customer_key,
        "as_of_us": micros(row.as_of) if row.as_of else None,
        "route": row.route,
        "feature_set": sets[row.features],
        "vector": _json(row.vector),
        "answers": _json(row.answers),
        "prediction_id": row.prediction_id,
        "moments": _json(row.moments),
        "context": _json(row.context) if row.context else None,
        "many": None,
    }


def _json(value: Any) -> str:
    # Answers wait for the interpreter while the log is written; json.dumps takes five times as long.
    return to_json(value, inf_nan_mode="constants", fallback=float).decode()


def _count(connection: sa.Connection, session: str, counted: Mapping[str, Any]) -> None:
    """Note what a writer has written, or what was lost with it."""
    told = insert(connection, writers).values({"session": session, "written": 0, "lost": 0} | dict(counted))
    connection.execute(told.on_conflict_do_update(index_elements=["session"], set_=dict(counted)))


def _counter(path: Path) -> tuple[mmap.mmap, BinaryIO]:
    """A locked file of eight bytes in memory: the lock says that its writer lives."""
    with files.replacing(path) as draft:  # named only once locked, or a settler could take it for dead
        file = open(draft, "w+b")  # noqa: SIM115 - held open for the writer's life
        locks.acquire(file)
        file.write(bytes(8))
        file.flush()
    return mmap.mmap(file.fileno(), 8), file


def _settle(database: Database, folder: Path) -> int:
    """Count what killed writers of this machine had accepted and not committed; return all ever lost."""
    for path in folder.glob("*.accepted"):
        # Another one who settles may have been faster.
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if not locks.acquire(file):
                continue  # its writer lives
            accepted = int.from_bytes(file.read(8), "little")
            with database.writing(Turn.ANY) as connection:
                asked = sa.select(writers.c.written).where(writers.c.session == path.stem)
                written = connection.execute(asked).scalar() or 0
                _count(connection, path.stem, {"lost": max(0, accepted - written)})
            os.unlink(path)
    with database.reading() as connection:
        return int(
            connection.execute(sa.select(sa.func.coalesce(sa.func.sum(writers.c.lost), 0))).scalar_one()
        )


@dataclass(frozen=True)
class Logged:
    """What the log holds of a span of time.

    Attributes:
        vectors: one row per customer and day, the day's last answer: ``day``, ``customer_key``,
            the features, and per model ``MODEL.score`` and ``MODEL.version``.
        answers: how many answers were logged in the span.
        lost: how many were ever lost to killed writers.
    """

    vectors: pd.DataFrame
    answers: int
    lost: int


def latest(home: Home) -> int:
    """The number of the last row that was committed, by which a bulk's answers know what came before them."""
    found = Database(home).first("SELECT max(id) FROM scores", ())
    return (found and found[0]) or 0


def read(home: Home, since: datetime, until: datetime) -> Logged:
    """What was answered from ``since`` up to and including ``until``, by the shop's clock.

    Raises:
        NothingThere: nothing was ever scored.
        PatronError: the log cannot be read.
    """
    database, span = Database(home), scores.c.at_us.between(micros(since), micros(until))
    nothing = NothingThere(f"nothing was scored yet in {home.path}; run `patron score` or ask /v1/scores")
    parts = job_parts.read_all(home)
    try:
        with database.reading() as connection:
            if not parts and connection.execute(sa.select(scores.c.id).limit(1)).first() is None:
                raise nothing
        lost = _settle(database, home.logs)
    except NothingThere as error:
        raise nothing from error
    singly, together = scores.c.many.is_(None), scores.c.many.is_not(None)
    last = (
        sa.select(sa.func.max(scores.c.id)).where(span, singly).group_by(scores.c.day, scores.c.customer_key)
    )
    columns = scores.c.day, scores.c.customer_key, feature_sets.c.names, scores.c.vector, scores.c.answers
    joined = scores.join(feature_sets, feature_sets.c.id == scores.c.feature_set)
    with database.reading() as connection:
        counted = sa.select(sa.func.count()).select_from(scores).where(span, singly)
        found = frames.Latest(connection.execute(counted).scalar_one())
        asked = sa.select(scores.c.id, *columns).select_from(joined)
        rows = connection.execute(asked.where(scores.c.id.in_(last)).order_by(scores.c.id)).all()
        found.add(pd.DataFrame(_flat(row[1:] for row in rows)), after=[row[0] for row in rows])
        of_many = sa.select(scores.c.id, scores.c.day, scores.c.answers, scores.c.many)
        for row in connection.execute(of_many.where(span, together)):
            frame = many.frame(row.many, json.loads(row.answers)).assign(day=row.day)
            found.add(frame, after=row.id, answers=len(frame))
    for part in parts:
        if micros(since) <= part.at_us <= micros(until):
            found.add_part(part)
    return Logged(found.vectors(), found.answers, lost)


def _flat(rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    flat = []
    for day, key, names, vector, answers in rows:
        row = {"day": day, "customer_key": key}
        row |= dict(zip(json.loads(names), json.loads(vector), strict=True))
        for model, answer in json.loads(answers).items():
            row |= {f"{model}.score": answer["score"], f"{model}.version": answer["version"]}
        flat.append(row)
    return flat
