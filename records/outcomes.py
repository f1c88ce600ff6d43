"""Outcomes of decisions: recorded once in the decision log, never changed."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from core.calendar import micros, moment
from core.errors import NothingThere, PatronError
from records.contacts import ledger
from records.decisions import DecisionLog
from records.tables import decisions, outcomes


class UnknownDecision(NothingThere):
    """No decision has that id."""


class ConflictingOutcome(PatronError):
    """The same kind of outcome was recorded before with another value."""


def record(
    log: DecisionLog, decision_id: str, kind: str, value: float | None, at: datetime
) -> tuple[bool, datetime]:
    """Record an outcome; a repetition changes nothing.

    An outcome that implies that the action was sent or shown makes the decision a contact; ``not_sent``
    gives its reservation back.

    Args:
        kind: such as ``clicked``. value: in currency, for kinds that have one. at: by the shop's clock.

    Returns:
        Whether it was new, and when it was first recorded.

    Raises:
        UnknownDecision: there is no such decision.
        ConflictingOutcome: it was recorded before with another value; the message says when.
    """
    with log.writing() as connection:
        whose = sa.select(decisions.c.customer_key).where(decisions.c.id == decision_id)
        key = connection.execute(whose).scalar()
        if key is None:
            raise UnknownDecision("there is no such decision; its id is in the answer that made it")
        statement = sa.select(outcomes.c.at_us, outcomes.c.value).where(
            outcomes.c.decision_id == decision_id, outcomes.c.kind == kind
        )
        first = connection.execute(statement).first()
        if first is None:
            if contact := ledger.CONTACT_OF.get(kind):
                ledger.record(connection, decision_id, contact, at)
            elif kind == ledger.NOT_SENT:
                ledger.give_back(connection, decision_id)
            row = {"decision_id": decision_id, "kind": kind, "at_us": micros(at), "value": value}
            connection.execute(sa.insert(outcomes), row | {"customer_key": key})
            return True, at
    came = moment(first[0])
    if first[1] != value:
        valued = "" if first[1] is None else f" with the value {first[1]:g}"
        raise ConflictingOutcome(
            f"{kind} came for this decision at {came:%Y-%m-%dT%H:%M:%SZ}{valued}, which stays as it is"
        )
    return False, came
