"""Outcomes of decisions: recorded once in the decision log, and removed only if they were a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros, moment
from core.errors import NothingThere, PatronError
from core.storage.database import among
from records.contacts import ledger
from records.contacts.tables import contacts
from records.decisions import DecisionLog
from records.tables import decisions, outcomes

KINDS = ("sent", "not_sent", "shown", "clicked", "accepted", "rejected", "converted")
BATCH = 1000  # outcomes of a transaction, so that decisions do not wait long


class UnknownDecision(NothingThere):
    """No decision has that id."""


class ConflictingOutcome(PatronError):
    """The same kind of outcome was recorded before with another value."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a customer did about a decision.

    Attributes:
        kind: one of ``KINDS``. value: in currency; None for kinds other than ``converted``.
        at: by the shop's clock.
        persons: the keys of the customer who did it, merged ones too; None if it is unknown who did.
    """

    decision_id: str
    kind: str
    value: float | None
    at: datetime
    persons: frozenset[int] | None = None


def record(
    log: DecisionLog, decision_id: str, kind: str, value: float | None, at: datetime
) -> tuple[bool, datetime]:
    """Record an outcome; a repetition changes nothing.

    An outcome that implies that the action was sent or shown makes the decision a contact; ``not_sent``
    gives its reservation back, also after its file was exported.

    Args:
        kind: such as ``clicked``. value: in currency, for kinds that have one. at: by the shop's clock.

    Returns:
        Whether it was new, and when it was first recorded.

    Raises:
        UnknownDecision: there is no such decision.
        ConflictingOutcome: it was recorded before with another value; the message says when.
    """
    with log.writing() as connection:
        keys, recorded = _known(connection, [decision_id])
        if decision_id not in keys:
            raise UnknownDecision("there is no such decision; its id is in the answer that made it")
        first = recorded.get((decision_id, kind))
        if first is None:
            _insert(connection, keys[decision_id], Outcome(decision_id, kind, value, at))
            return True, at
    came = moment(first.at_us)
    if first.value != value:
        valued = "" if first.value is None else f" with the value {first.value:g}"
        raise ConflictingOutcome(
            f"{kind} came for this decision at {came:%Y-%m-%dT%H:%M:%SZ}{valued}, which stays as it is"
        )
    return False, came


def record_all(log: DecisionLog, reported: Sequence[Outcome]) -> list[str]:
    """Record many outcomes, as :func:`record` does.

    Returns:
        What became of each: ``recorded``, ``repeated``, ``conflicting`` (recorded before with another value),
        ``unknown_decision`` or ``other_customer`` (the decision is another customer's).
    """
    results = []
    for start in range(0, len(reported), BATCH):
        batch = reported[start : start + BATCH]
        with log.writing() as connection:
            keys, recorded = _known(connection, sorted({outcome.decision_id for outcome in batch}))
            values = {name: row.value for name, row in recorded.items()}
            for outcome in batch:
                result = _verdict(outcome, keys, values)
                if result == "recorded":
                    _insert(connection, keys[outcome.decision_id], outcome)
                    values[outcome.decision_id, outcome.kind] = outcome.value
                results.append(result)
    return results


def remove(log: DecisionLog, decision_id: str, kind: str) -> bool:
    """Remove an outcome that was recorded by mistake; returns whether there was one.

    The contact of the decision is then what its other outcomes imply; without one, it is no contact any more.

    Raises:
        UnknownDecision: there is no such decision.
    """
    with log.writing() as connection:
        keys, recorded = _known(connection, [decision_id])
        if decision_id not in keys:
            raise UnknownDecision("there is no such decision; its id is in the answer that made it")
        if (decision_id, kind) not in recorded:
            return False
        connection.execute(
            sa.delete(outcomes).where(outcomes.c.decision_id == decision_id, outcomes.c.kind == kind)
        )
        if kind in ledger.CONTACT_OF:
            remaining = {name: row.at_us for (_, name), row in recorded.items() if name != kind}
            ledger.undo(connection, decision_id, remaining)
    return True


def _verdict(outcome: Outcome, keys: dict[str, int], values: dict[tuple[str, str], float | None]) -> str:
    if outcome.decision_id not in keys:
        return "unknown_decision"
    if outcome.persons is not None and keys[outcome.decision_id] not in outcome.persons:
        return "other_customer"
    name = outcome.decision_id, outcome.kind
    if name not in values:
        return "recorded"
    return "repeated" if values[name] == outcome.value else "conflicting"


def _known(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> tuple[dict[str, int], dict[tuple[str, str], sa.Row[Any]]]:
    """The customers of those decisions that exist, and the recorded outcomes by decision and kind."""
    whose = sa.select(decisions.c.id, decisions.c.customer_key)
    keys = {
        row[0]: row[1]
        for row in connection.execute(whose.where(among(connection, decisions.c.id, decision_ids)))
    }
    rows = connection.execute(
        sa.select(outcomes).where(among(connection, outcomes.c.decision_id, decision_ids))
    )
    return keys, {(row.decision_id, row.kind): row for row in rows}


def _insert(connection: sa.Connection, key: int, outcome: Outcome) -> None:
    if contact := ledger.CONTACT_OF.get(outcome.kind):
        ledger.record(connection, outcome.decision_id, contact, outcome.at)
    elif outcome.kind == ledger.NOT_SENT:
        ledger.undo_export(connection, contacts.c.decision_id == outcome.decision_id)
        ledger.give_back(connection, outcome.decision_id)
    row = {
        "decision_id": outcome.decision_id,
        "kind": outcome.kind,
        "at_us": micros(outcome.at),
        "value": outcome.value,
        "customer_key": key,
    }
    connection.execute(sa.insert(outcomes), row)
