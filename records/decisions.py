"""The log of decisions, in the home's database; outcomes and runs are part of it.

A decision is committed before the response is sent, so it survives a killed process and a power cut. Rows
name customers by ``customer_key`` only. A single write transaction at a time looks for a standing decision,
reads the customer's contacts, decides, writes the decision and reserves its place within the contact limits.
Therefore concurrent requests for a customer, in whichever processes, get the same decision and exceed no
limit.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from core.calendar import micros, moment
from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database, WriteRows, insert
from records.contacts import Contact, ContactReservation, ledger
from records.contacts.history import ContactHistory, Merged, unmerged
from records.tables import decisions, outcomes, rules, run_rows, salts

SETTLED = ("accepted", "rejected", ledger.NOT_SENT)  # outcomes after which a decision is no longer valid
_CHOICE = ("action", "how", "probability", "expected_value", "cost", "channel")
_JSON = ("probabilities", "scores", "facts", "reasons")


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision about a customer, and its inputs.

    Attributes:
        expected_value: in currency. cost: in currency per contact.
        probability: of the chosen action; ``probabilities``: of every permitted option.
        scores: per model ``{"version", "score", "reason"}``. facts: the features used.
        reasons: for the chosen and against the other actions, as plain data.
        reservation: what the decision reserves; None for nothing, and where the decision is read again.
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
    reservation: ContactReservation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A request for decisions; the same request on the same day returns the same decisions.

    Attributes:
        at: the moment by the shop's clock. day: the shop's day of ``at``.
        channels: the requested channels, in alphabetical order; None for all.
        rules: the digest of the actions' rules.
        caller: the origin, such as ``api``. run_id: the run that the request is part of, if any.
        counted_rules: in a shop whose clock stands still, the only rules whose reservations count.
    """

    at: datetime
    day: int
    channels: tuple[str, ...] | None
    rules: str
    caller: str
    run_id: str | None = None
    counted_rules: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """A logged decision, or a preview of one, whose id is empty."""

    id: str
    customer_key: int
    question: DecisionRequest
    choice: Choice


Choose: TypeAlias = Callable[[int, Sequence[Contact]], Choice]
"""Chooses for a customer by key and contacts."""


class DecisionLog:
    """The decision log of a home. Threads may share it; close it at the end."""

    def __init__(self, home: Home) -> None:
        self.home, self.database = home, Database(home)
        with self.writing() as connection:
            first = insert(connection, salts).on_conflict_do_nothing()
            connection.execute(first, {"id": 1, "salt": secrets.token_bytes(32)})
            self.salt: bytes = connection.execute(sa.select(salts.c.salt)).scalar_one()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A read-only connection with a consistent snapshot of the log."""
        return self.database.reading()

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction, serialised with all others that decide."""
        return self.database.writing(Turn.DECISIONS)

    def keep_rules(self, digest: str, content: str) -> None:
        """Store the rules of a digest, for later readers of the log."""
        with self.writing() as connection:
            known = insert(connection, rules).on_conflict_do_nothing()
            connection.execute(known, {"digest": digest, "content": content})

    def rules(self, digest: str) -> str | None:
        """The stored rules of a digest; None for an unknown one."""
        with self.reading() as connection:
            return connection.execute(sa.select(rules.c.content).where(rules.c.digest == digest)).scalar()

    def standing(self, keys: Iterable[int], question: DecisionRequest) -> dict[int, Decision]:
        """The standing decisions for this request, by customer."""
        with self.reading() as connection:
            standing = {key: _standing(connection, key, question) for key in keys}
        return {key: of_row(row) for key, row in standing.items() if row is not None}

    def decide(
        self,
        keys: Sequence[int],
        question: DecisionRequest,
        choose: Choose,
        places: Sequence[int] = (),
        merged: Merged = unmerged,
        also_write: WriteRows | None = None,
    ) -> dict[int, Decision]:
        """Decide for customers who have no standing decision; all are committed on return.

        Args:
            keys: without duplicates.
            choose: called with a customer's key and contacts, reservations included.
            places: the positions of the customers in the request's run, which lists the decisions.
            merged: the keys that were merged into customers, whose contacts count as theirs.
            also_write: writes further rows in the same transaction.
        """
        decided, numbers = {}, []
        with self.writing() as connection:
            if also_write is not None:
                also_write(connection)
            history = ContactHistory(connection, keys, question.at, merged, question.counted_rules)
            for key in keys:
                standing = _standing(connection, key, question)
                if standing is None:
                    decided[key] = Decision(uuid.uuid4().hex, key, question, choose(key, history.of(key)))
                    made = connection.execute(_INSERT, _row(decided[key])).inserted_primary_key
                    assert made is not None
                    numbers.append(int(made[0]))
                    history.reserve(key, decided[key].id, decided[key].choice.reservation)
                else:
                    decided[key] = of_row(standing)
                    numbers.append(int(standing.n))
            if places:
                listed = zip(places, numbers, strict=True)
                connection.execute(
                    sa.insert(run_rows),
                    [{"run_id": question.run_id, "place": place, "decision": n} for place, n in listed],
                )
        return decided

    def preview(
        self, keys: Sequence[int], question: DecisionRequest, choose: Choose, merged: Merged = unmerged
    ) -> dict[int, Decision]:
        """What :meth:`decide` would return now; nothing is written. New decisions have an empty id."""
        with self.reading() as connection:
            history = ContactHistory(connection, keys, question.at, merged, question.counted_rules)
            standing = {key: _standing(connection, key, question) for key in keys}
            return {
                key: Decision("", key, question, choose(key, history.of(key))) if row is None else of_row(row)
                for key, row in standing.items()
            }


# Compiled once, since they run for each customer.
_INSERT = sa.insert(decisions)
_STANDING = (
    sa.select(decisions)
    .where(
        decisions.c.customer_key == sa.bindparam("key"),
        decisions.c.day == sa.bindparam("today"),
        decisions.c.channels == sa.bindparam("channels"),
        decisions.c.rules == sa.bindparam("digest"),
        ~sa.exists().where(outcomes.c.decision_id == decisions.c.id, outcomes.c.kind.in_(SETTLED)),
        ~ledger.is_over(decisions.c.id, sa.bindparam("now")),
    )
    .order_by(decisions.c.n.desc())
    .limit(1)
)


def _standing(connection: sa.Connection, key: int, question: DecisionRequest) -> sa.Row[Any] | None:
    parameters = {
        "key": key, "today": question.day, "channels": json.dumps(question.channels),
        "digest": question.rules, "now": micros(question.at),
    }  # fmt: skip
    return connection.execute(_STANDING, parameters).first()


def _row(decision: Decision) -> dict[str, Any]:
    request, chosen = decision.question, decision.choice
    return {
        "id": decision.id,
        "at_us": micros(request.at),
        "day": request.day,
        "customer_key": decision.customer_key,
        "channels": json.dumps(request.channels),
        "rules": request.rules,
        "caller": request.caller,
        "run_id": request.run_id,
        **{name: getattr(chosen, name) for name in _CHOICE},
        **{name: _compact(getattr(chosen, name)) for name in _JSON},
    }


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def of_row(row: sa.Row[Any]) -> Decision:
    """The decision in a row of ``decisions``; other columns are ignored."""
    channels = json.loads(row.channels)
    request = DecisionRequest(
        moment(row.at_us), row.day, None if channels is None else tuple(channels),
        row.rules, row.caller, row.run_id,
    )  # fmt: skip
    plain = {name: getattr(row, name) for name in _CHOICE}
    plain |= {name: json.loads(getattr(row, name)) for name in _JSON}
    return Decision(row.id, row.customer_key, request, Choice(**plain))
