"""The score log: predictions with their features and customers, in the home's database.

Serving writes it, training and monitoring read it. Rows name customers by ``customer_key`` only.

A request does not wait for the log: :meth:`ScoreLog.put` queues the rows, and a thread commits the queue
every ``FLUSH_SECONDS``. :mod:`records.lost_rows` counts what a killed process had not committed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from core.calendar import micros
from core.errors import PatronError
from core.home import Home
from core.storage.batches import Insert, execute
from core.storage.connections import Turn
from core.storage.database import Database, insert
from records import batches, lost_rows
from records.batches import PredictionBatch
from records.tables import feature_sets, scores

FLUSH_SECONDS = 0.05  # rarer commits are longer, and requests beside them are slower
RETRY_SECONDS = 0.25  # after a commit that failed
BATCH = 1000  # rows in a transaction, so that other writers do not wait long
NOBODY = NO_FEATURES = 0  # of a row that contains the predictions of a large request
MAX_QUEUED_ROWS = 200_000  # while the disk is full; further rows are dropped and counted
_WRITTEN = tuple(scores.columns)[1:]  # the database numbers the rows
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One customer's prediction, of one or more models.

    Attributes:
        at: the moment by the shop's clock. day: the shop's day of ``at``.
        as_of: the moment of the features used.
        route: ``api``, ``portrait`` or ``bulk``.
        features: the names of the values in ``vector``, which are as stored.
        answers: per model ``{"version": "3", "score": 0.41}``.
        prediction_id: the id by which the prediction can be read later.
        moments: per group the as_of of its features, in microseconds since 1970.
        context: the values of the vector that were sent with the request.
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
    """Appends predictions to a home's log. Closing it, or leaving its ``with`` block, commits the queue."""

    def __init__(self, home: Home) -> None:
        self.home, self.database = home, Database(home)
        self.session = uuid.uuid4().hex
        self.database.prepare()
        try:
            home.logs.mkdir(parents=True, exist_ok=True)
            self.lost_before = lost_rows.settle(self.database, home.logs)
            self._counter, self._file = lost_rows.open_counter(home.logs / f"{self.session}.accepted")
        except OSError as error:
            raise PatronError(f"the folder {home.logs} cannot be written: {error}") from error
        self._queue: deque[Prediction | PredictionBatch] = deque()
        self._sets: dict[tuple[str, ...], int] = {}  # those known to be in the database
        self.accepted = self.written = self.dropped = self._ids = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score-log", daemon=True)
        self._thread.start()

    def put(self, rows: Sequence[Prediction]) -> None:
        """Queue predictions; returns at once. They are committed within ``FLUSH_SECONDS``."""
        self._put(rows, len(rows))

    def append_batch(self, batch: PredictionBatch) -> None:
        """Queue the predictions of a large request; see :meth:`put`."""
        self._put([batch], len(batch))

    def _put(self, items: Sequence[Prediction | PredictionBatch], count: int) -> None:
        with self._lock:
            full = self.queued + count > MAX_QUEUED_ROWS
            self.accepted += count
            self._counter[:8] = self.accepted.to_bytes(8, "little")
            self.dropped += count if full else 0
        if not full:
            self._queue.extend(items)

    def prediction_ids(self, count: int) -> list[str]:
        """Ids for predictions, unique across all processes."""
        with self._lock:
            first, self._ids = self._ids, self._ids + count
        return [f"{self.session}{first + i:x}" for i in range(count)]

    @property
    def queued(self) -> int:
        """The number of rows that are not committed yet."""
        return self.accepted - self.written - self.dropped

    def wait(self) -> None:
        """Wait until the queue has space; bulk writers are faster than the disk."""
        while self.queued > MAX_QUEUED_ROWS // 4 and self._thread.is_alive():
            time.sleep(FLUSH_SECONDS / 5)

    def close(self) -> None:
        """Commit the queue and close the files."""
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
        pause = FLUSH_SECONDS
        while not self._stop.wait(pause):
            pause = FLUSH_SECONDS if self._flush() else RETRY_SECONDS
        self._flush()

    def _flush(self) -> bool:
        """Commit the queue; whether all of it was committed."""
        while self._queue:
            rows, count = self._next_rows()
            names = {row.features for row in rows if isinstance(row, Prediction)}
            fresh = {features: _set_id(features) for features in names if features not in self._sets}
            written = [_row(row, self._sets | fresh) for row in rows]
            try:
                with self.database.writing(Turn.ANY, durable=False) as connection:
                    for features, set_id in fresh.items():
                        add = insert(connection, feature_sets).on_conflict_do_nothing()
                        connection.execute(add, {"id": set_id, "names": json.dumps(features)})
                    counted = lost_rows.record(self.session, "written", self.written + count)
                    execute(connection, [Insert(scores, written, _WRITTEN), counted], last=True)
            except PatronError as error:
                self._sets.clear()  # the database may have been replaced
                self._queue.extendleft(reversed(rows))
                _log.error("the score log cannot be written; it will be retried: %s", error)
                return False
            self.written += count
            self._sets |= fresh
        return True

    def _next_rows(self) -> tuple[list[Prediction | PredictionBatch], int]:
        """The rows of the next transaction, and the number of their predictions."""
        rows: list[Prediction | PredictionBatch] = []
        count = 0
        while self._queue and count < BATCH:
            rows.append(self._queue.popleft())
            count += len(rows[-1]) if isinstance(rows[-1], PredictionBatch) else 1
        return rows, count


def _set_id(names: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(names).encode()).digest()[:8], "big", signed=True)


def _row(row: Prediction | PredictionBatch, sets: Mapping[tuple[str, ...], int]) -> tuple[Any, ...]:
    """The values of ``_WRITTEN``."""
    at_us = micros(row.at)
    if isinstance(row, PredictionBatch):
        return (
            at_us, row.day, NOBODY, None, row.route, NO_FEATURES, "[]", _json(row.versions),
            row.prediction_id, None, None, batches.pack(row.table),
        )  # fmt: skip
    return (
        at_us, row.day, row.customer_key, micros(row.as_of) if row.as_of else None, row.route,
        sets[row.features], _json(row.vector), _json(row.answers), row.prediction_id, _json(row.moments),
        _json(row.context) if row.context else None, None,
    )  # fmt: skip


def _json(value: Any) -> str:
    # Encoding holds the GIL, which blocks requests; json.dumps would take five times as long.
    return to_json(value, inf_nan_mode="constants", fallback=float).decode()
