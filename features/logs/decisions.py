"""The log of decisions. SQLite, in WAL mode; outcomes and runs are in it too.

A decision is committed before it is answered, so it outlives a killed process and a power cut. Rows
name customers by ``customer_key`` only. One write transaction at a time looks for a standing decision,
counts the days since each action was last chosen, decides and writes; so two who ask about a customer
at the same moment, in whichever processes, get one decision.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.calendar import micros, moment
from features.errors import PatronError
from features.home import Home
from features.logs.database import connect

SETTLED = ("accepted", "rejected")  # outcomes after which a decision no longer stands
_TABLES = """
CREATE TABLE IF NOT EXISTS salts (id INTEGER PRIMARY KEY CHECK (id = 1), salt BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rules (digest TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL,
    day INTEGER NOT NULL, customer_key INTEGER NOT NULL, channels TEXT NOT NULL, rules TEXT NOT NULL,
    caller TEXT NOT NULL, run_id TEXT, action TEXT NOT NULL, how TEXT NOT NULL, probability REAL NOT NULL,
    expected_value REAL NOT NULL, cost REAL NOT NULL, channel TEXT, probabilities TEXT NOT NULL,
    scores TEXT NOT NULL, facts TEXT NOT NULL, reasons TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decisions_by_customer ON decisions (customer_key, day);
CREATE TABLE IF NOT EXISTS outcomes (
    decision_id TEXT NOT NULL, kind TEXT NOT NULL, at_us INTEGER NOT NULL, value REAL,
    customer_key INTEGER NOT NULL, PRIMARY KEY (decision_id, kind));
CREATE INDEX IF NOT EXISTS outcomes_by_customer ON outcomes (customer_key);
CREATE TABLE IF NOT EXISTS runs (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL,
    status TEXT NOT NULL, error TEXT, segment TEXT, channels TEXT NOT NULL, language TEXT NOT NULL,
    rules TEXT NOT NULL, caller TEXT NOT NULL, total INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS run_rows (
    run_id TEXT NOT NULL, place INTEGER NOT NULL, decision INTEGER NOT NULL,
    PRIMARY KEY (run_id, place)) WITHOUT ROWID;
"""
_CHOICE = ("action", "how", "probability", "expected_value", "cost", "channel")
_JSON = ("probabilities", "scores", "facts", "reasons")
_COLUMNS = ("id", "at_us", "day", "customer_key", "channels", "rules", "caller", "run_id", *_CHOICE, *_JSON)
_INSERT = f"INSERT INTO decisions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
SELECTED = ", ".join(f"d.{column}" for column in _COLUMNS)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for a customer, and from what.

    Attributes:
        expected_value: currency. cost: currency per contact.
        probability: with which the action was chosen; ``probabilities``: of every permitted option.
        scores: per model ``{"version", "score", "reason"}``. facts: the features used.
        reasons: why, and why nothing else, as plain data.
    """

    action: str
    how: str
    probability: float
    expected_value: float
    cost: float
    channel: str | None
    probabilities: Mapping[str, float]
    scores: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]
    reasons: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about customers: the same one on the same day has the same answer.

    Attributes:
        at: when, by the shop's clock. day: the shop's day of it.
        channels: those asked for, in alphabetical order; None for all.
        rules: the digest of the actions' rules.
        caller: who asks, such as ``api``. run_id: the run it is asked in.
    """

    at: datetime
    day: int
    channels: tuple[str, ...] | None
    rules: str
    caller: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it is logged."""

    id: str
    customer_key: int
    question: Question
    choice: Choice


class DecisionLog:
    """A home's decisions. Any thread may use it; close it at the end."""

    def __init__(self, home: Home) -> None:
        self.home, self.path = home, home.logs / "decisions.db"
        self._lock = threading.Lock()
        try:
            home.logs.mkdir(parents=True, exist_ok=True)
            self._db = connect(self.path, _TABLES)
            self._db.isolation_level = None  # transactions begin where they are told to
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("INSERT OR IGNORE INTO salts VALUES (1, ?)", (secrets.token_bytes(32),))
            self.salt: bytes = self._db.execute("SELECT salt FROM salts").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            raise PatronError(
                f"the decision log {self.path} cannot be opened ({error}); move it away to start a new one"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self, how: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        """All of it or nothing; ``IMMEDIATE`` waits for whoever writes and keeps others from it."""
        with self._lock:
            try:
                self._db.execute(f"BEGIN {how}")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise PatronError(f"the decision log {self.path} cannot be used ({error})") from error

    def keep_rules(self, digest: str, content: str) -> None:
        """Keep what the rules of this digest say, for whoever reads the log later."""
        with self.transaction("IMMEDIATE") as db:
            db.execute("INSERT OR IGNORE INTO rules VALUES (?, ?)", (digest, content))

    def rules(self, digest: str) -> str | None:
        """What the rules of this digest said; None for a digest that never was."""
        with self.transaction() as db:
            row = db.execute("SELECT content FROM rules WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])

    def standing(self, keys: Iterable[int], question: Question) -> dict[int, Decision]:
        """The decisions that answer this question already, by customer."""
        with self.transaction() as db:
            found = {key: _standing(db, key, question) for key in keys}
        return {key: of_row(row[1:]) for key, row in found.items() if row is not None}

    def decide(
        self,
        keys: Sequence[int],
        question: Question,
        choose: Callable[[int, Mapping[str, int]], Choice],
    ) -> dict[int, Decision]:
        """Decide for customers who have no standing decision; all are committed on return.

        Args:
            keys: each once.
            choose: of a customer's key, and per action ever chosen for them the days since.
        """
        decided = {}
        with self.transaction("IMMEDIATE") as db:
            rows = []
            for key in keys:
                standing = _standing(db, key, question)
                if standing is None:
                    choice = choose(key, _days_since(db, key, question.day))
                    decided[key] = Decision(uuid.uuid4().hex, key, question, choice)
                    rows.append(db.execute(_INSERT, _row(decided[key])).lastrowid)
                else:
                    rows.append(standing[0])
                    decided[key] = of_row(standing[1:])
            if question.run_id is not None:
                _add_to_run(db, question.run_id, rows)
        return decided


def _standing(db: sqlite3.Connection, key: int, question: Question) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(
        f"SELECT d.n, {SELECTED} FROM decisions d WHERE customer_key = ? AND day = ? AND channels = ?"
        " AND rules = ? AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.decision_id = d.id"
        f" AND o.kind IN {SETTLED}) ORDER BY d.n DESC LIMIT 1",
        (key, question.day, json.dumps(question.channels), question.rules),
    ).fetchone()
    return row


def _days_since(db: sqlite3.Connection, key: int, day: int) -> dict[str, int]:
    rows = db.execute(
        "SELECT action, ? - max(day) FROM decisions WHERE customer_key = ? AND day <= ?"
        " AND channel IS NOT NULL GROUP BY action",
        (day, key, day),
    )
    return dict(rows.fetchall())


def _add_to_run(db: sqlite3.Connection, run_id: str, rows: Sequence[int | None]) -> None:
    (done,) = db.execute("SELECT done FROM runs WHERE id = ?", (run_id,)).fetchone()
    placed = [(run_id, done + i, row) for i, row in enumerate(rows)]
    db.executemany("INSERT INTO run_rows VALUES (?, ?, ?)", placed)
    db.execute("UPDATE runs SET done = ? WHERE id = ?", (done + len(rows), run_id))


def _row(decision: Decision) -> tuple[Any, ...]:
    asked, chosen = decision.question, decision.choice
    return (
        decision.id, micros(asked.at), asked.day, decision.customer_key, json.dumps(asked.channels),
        asked.rules, asked.caller, asked.run_id,
        *(getattr(chosen, name) for name in _CHOICE),
        *(_compact(getattr(chosen, name)) for name in _JSON),
    )  # fmt: skip


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def of_row(row: Sequence[Any]) -> Decision:
    """The decision of a row of the columns ``SELECTED``."""
    held = dict(zip(_COLUMNS, row, strict=True))
    channels = json.loads(held["channels"])
    asked = Question(
        moment(held["at_us"]), held["day"], None if channels is None else tuple(channels),
        held["rules"], held["caller"], held["run_id"],
    )  # fmt: skip
    plain = {name: held[name] for name in _CHOICE} | {name: json.loads(held[name]) for name in _JSON}
    return Decision(held["id"], held["customer_key"], asked, Choice(**plain))
