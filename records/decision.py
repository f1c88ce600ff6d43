"""A decision: what was asked, what was chosen, and its row in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros, moment
from records.contacts import ContactReservation

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
        spending_day: the day as which budgets count ``day``. budget_days: the days on which periods of
            budgets begin; None if there are no budgets.
    """

    at: datetime
    day: int
    channels: tuple[str, ...] | None
    rules: str
    caller: str
    run_id: str | None = None
    counted_rules: str | None = field(default=None, compare=False)
    spending_day: int | None = field(default=None, compare=False)
    budget_days: tuple[int, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """A logged decision, or a preview of one, whose id is empty."""

    id: str
    customer_key: int
    question: DecisionRequest
    choice: Choice


def row_of(decision: Decision) -> dict[str, Any]:
    """The row of a decision."""
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
