"""What customers did about decisions: kept once, never changed, in the decision log."""

from __future__ import annotations

from datetime import datetime

from features.calendar import micros, moment
from features.errors import NothingThere, PatronError
from features.logs.decisions import DecisionLog


class UnknownDecision(NothingThere):
    """No decision has that id."""


class ToldOtherwise(PatronError):
    """The same kind of outcome came before with another content."""


def record(
    log: DecisionLog, decision_id: str, kind: str, value: float | None, at: datetime
) -> tuple[bool, datetime]:
    """Record an outcome; told again, nothing changes.

    Args:
        kind: such as ``clicked``. value: currency, where the kind has one. at: by the shop's clock.

    Returns:
        Whether it was new, and when it first came.

    Raises:
        UnknownDecision: there is no such decision.
        ToldOtherwise: it came before with another value; the text says when.
    """
    with log.transaction("IMMEDIATE") as db:
        row = db.execute("SELECT customer_key FROM decisions WHERE id = ?", (decision_id,)).fetchone()
        if row is None:
            raise UnknownDecision("there is no such decision; its id is in the answer that made it")
        first = db.execute(
            "SELECT at_us, value FROM outcomes WHERE decision_id = ? AND kind = ?", (decision_id, kind)
        ).fetchone()
        if first is None:
            told = (decision_id, kind, micros(at), value, row[0])
            db.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?)", told)
            return True, at
    came = moment(first[0])
    if first[1] != value:
        valued = "" if first[1] is None else f" with the value {first[1]:g}"
        raise ToldOtherwise(
            f"{kind} came for this decision at {came:%Y-%m-%dT%H:%M:%SZ}{valued}, which stays as it is"
        )
    return False, came
