"""Outcomes by themselves: from events that name a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC

from events.queries.decision_events import COLUMNS, decision_events
from events.schema import Events
from records.decisions import DecisionLog
from records.outcomes import Outcome, record_all


def record_from_events(
    events: Events, log: DecisionLog, merged: Mapping[int, Sequence[int]]
) -> dict[str, int]:
    """Record the outcomes that events report, each once; returns how many were recorded and how many not.

    An event of another customer than the decision's changes nothing.

    Args:
        events: as known now.
        merged: the keys of the customers who were merged into a customer.
    """
    named = decision_events(events)
    reported = [
        Outcome(
            decision_id, kind, None, at.to_pydatetime().replace(tzinfo=UTC),
            frozenset({key, *merged.get(key, ())}),
        )
        for key, decision_id, kind, at in zip(*(named[name].tolist() for name in COLUMNS), strict=True)
    ]  # fmt: skip
    counts = Counter(record_all(log, reported))
    names = ("recorded", "repeated", "unknown_decision", "other_customer")
    return {name: counts[name] for name in names}


def named_decisions(events: Events) -> frozenset[str]:
    """The ids of the decisions that events of other programs name."""
    return frozenset(decision_events(events)["decision_id"].tolist())
