"""The log of answers: which scores were given to whom, from which features. SQLite, in WAL mode.

It lies below both serving, which writes it, and training, which learns from it. Rows name
customers by ``customer_key`` only.

Writing happens off the request's path: :meth:`ScoreLog.put` counts the rows in a memory-mapped
file and queues them, a thread commits what is queued every ``FLUSH_SECONDS``. The counter outlives
a killed process, so the next writer finds how many rows the killed one had accepted but not
committed, and records that number as lost.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from features.calendar import micros
from features.errors import PatronError
from features.home import Home
from features.logs.database import connect

FLUSH_SECONDS = 0.25
MOST_QUEUED_ROWS = 200_000  # while the disk is full; further rows are dropped and counted
_TABLES = """
CREATE TABLE IF NOT EXISTS feature_sets (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS scores (
    id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, day INTEGER NOT NULL,
    customer_key INTEGER NOT NULL, as_of_us INTEGER, route TEXT NOT NULL,
    feature_set INTEGER NOT NULL, vector TEXT NOT NULL, answers TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS scores_by_time ON scores (at_us);
CREATE TABLE IF NOT EXISTS writers (
    session TEXT PRIMARY KEY, written INTEGER NOT NULL, lost INTEGER NOT NULL DEFAULT 0);
"""
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
    """

    at: datetime
    day: int
    customer_key: int
    as_of: datetime | None
    route: str
    features: tuple[str, ...]
    vector: Sequence[Any]
    answers: dict[str, dict[str, Any]]


class ScoreLog:
    """Appends answers to a home's log. Close it, or leave its ``with``, to commit what is queued."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.path = home.logs / "scores.db"
        self.session = uuid.uuid4().hex
        try:
            home.logs.mkdir(parents=True, exist_ok=True)
            self._connection = connect(self.path, _TABLES)
            self.lost_before = _settle(self._connection, home.logs)
            self._counter, self._file = _counter(home.logs / f"{self.session}.accepted")
        except (sqlite3.Error, OSError) as error:
            raise PatronError(
                f"the score log {self.path} cannot be opened ({error}); move it away to start a new one"
            ) from error
        self._queue: deque[Answered] = deque()
        self._sets: dict[tuple[str, ...], int] = {}
        self.accepted = self.written = self.dropped = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score-log", daemon=True)
        self._thread.start()

    def put(self, rows: Sequence[Answered]) -> None:
        """Queue answers; returns at once. What is put is committed within ``FLUSH_SECONDS``."""
        with self._lock:
            self.accepted += len(rows)
            self._counter[:8] = self.accepted.to_bytes(8, "little")
        if len(self._queue) + len(rows) > MOST_QUEUED_ROWS:
            self.dropped += len(rows)
            return
        self._queue.extend(rows)

    @property
    def queued(self) -> int:
        """Rows that wait to be committed."""
        return len(self._queue)

    def wait(self) -> None:
        """Return once the queue has room: for bulk writers, which are faster than the disk."""
        while len(self._queue) > MOST_QUEUED_ROWS // 4 and self._thread.is_alive():
            time.sleep(FLUSH_SECONDS / 5)

    def close(self) -> None:
        """Commit everything queued and let go of the files."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        if not self._queue:
            self._file.close()
            (self.path.parent / f"{self.session}.accepted").unlink(missing_ok=True)
        self._connection.close()

    def __enter__(self) -> ScoreLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        rows = [self._queue.popleft() for _ in range(len(self._queue))]
        if not rows:
            return
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT INTO scores (at_us, day, customer_key, as_of_us, route, feature_set,"
                    " vector, answers) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [self._row(row) for row in rows],
                )
                self._connection.execute(
                    "INSERT INTO writers (session, written) VALUES (?, ?)"
                    " ON CONFLICT (session) DO UPDATE SET written = excluded.written",
                    (self.session, self.written + len(rows)),
                )
            self.written += len(rows)
        except sqlite3.Error as error:
            self._sets.clear()
            self._queue.extendleft(reversed(rows))
            _log.error("the score log %s cannot be written, will try again: %s", self.path, error)

    def _row(self, row: Answered) -> tuple[Any, ...]:
        if row.features not in self._sets:
            names = json.dumps(row.features)
            self._connection.execute("INSERT OR IGNORE INTO feature_sets (names) VALUES (?)", (names,))
            found = self._connection.execute("SELECT id FROM feature_sets WHERE names = ?", (names,))
            self._sets[row.features] = found.fetchone()[0]
        return (
            micros(row.at),
            row.day,
            row.customer_key,
            micros(row.as_of) if row.as_of else None,
            row.route,
            self._sets[row.features],
            json.dumps(row.vector, default=float),
            json.dumps(row.answers),
        )


def _counter(path: Path) -> tuple[mmap.mmap, BinaryIO]:
    """A locked file of eight bytes in memory: the lock says that its writer lives."""
    draft = path.with_suffix(".new")  # named only once locked, or a settler could take it for dead
    file = open(draft, "w+b")  # noqa: SIM115 - held open for the writer's life
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.write(bytes(8))
    file.flush()
    os.replace(draft, path)
    return mmap.mmap(file.fileno(), 8), file


def _settle(connection: sqlite3.Connection, folder: Path) -> int:
    """Count what killed writers had accepted and not committed; return the total ever lost."""
    for path in folder.glob("*.accepted"):
        # Another one who settles may have been faster.
        with suppress(FileNotFoundError), open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its writer lives
            accepted = int.from_bytes(file.read(8), "little")
            with connection:
                connection.execute(
                    "INSERT INTO writers (session, written, lost) VALUES (?1, 0, ?2)"
                    " ON CONFLICT (session) DO UPDATE SET lost = max(0, ?2 - written)",
                    (path.stem, accepted),
                )
            os.unlink(path)
    total: int = connection.execute("SELECT coalesce(sum(lost), 0) FROM writers").fetchone()[0]
    return total


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


def read(home: Home, since: datetime, until: datetime) -> Logged:
    """What was answered from ``since`` up to and including ``until``, by the shop's clock.

    Raises:
        PatronError: there is no log yet, or it cannot be read.
    """
    path = home.logs / "scores.db"
    if not path.exists():
        raise PatronError(f"nothing was scored yet in {home.path}; run `patron score` or ask /v1/scores")
    span = (micros(since), micros(until))
    try:
        connection = connect(path, _TABLES)
        try:
            lost = _settle(connection, home.logs)
            answers = connection.execute(
                "SELECT count(*) FROM scores WHERE at_us BETWEEN ? AND ?", span
            ).fetchone()[0]
            rows = connection.execute(
                "SELECT s.day, s.customer_key, f.names, s.vector, s.answers FROM scores s"
                " JOIN feature_sets f ON f.id = s.feature_set WHERE s.id IN (SELECT max(id) FROM scores"
                " WHERE at_us BETWEEN ? AND ? GROUP BY day, customer_key) ORDER BY s.id",
                span,
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise PatronError(f"the score log {path} cannot be read ({error})") from error
    return Logged(pd.DataFrame(_flat(rows)), answers, lost)


def _flat(rows: Iterable[tuple[int, int, str, str, str]]) -> list[dict[str, Any]]:
    flat = []
    for day, key, names, vector, answers in rows:
        row = {"day": day, "customer_key": key}
        row |= dict(zip(json.loads(names), json.loads(vector), strict=True))
        for model, answer in json.loads(answers).items():
            row |= {f"{model}.score": answer["score"], f"{model}.version": answer["version"]}
        flat.append(row)
    return flat
