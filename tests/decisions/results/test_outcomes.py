"""Outcomes from files and events: late, twice, of another customer, of a merged one, and undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.decisions.known_effect import NOW, START, make
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from decisions.results import report
from decisions.results.outcomes_file import import_outcomes
from events import journal
from events.identity import join
from events.journal import Message
from events.segment.translate import Place, translate
from records import outcomes
from records.contacts import tables as contact_tables
from records.decisions import DecisionLog
from records.tables import decisions
from records.tables import outcomes as rows


@pytest.fixture
def home(empty_home: Home) -> Iterator[Home]:
    make(empty_home, 3, 3)
    with DecisionLog(empty_home) as log, log.writing() as connection:
        for key in (1, 2):
            first = sa.select(decisions.c.n).where(decisions.c.customer_key == key)
            changed = {"id": f"d{key}", "action": "offer", "channel": "email"}
            connection.execute(sa.update(decisions).where(decisions.c.n.in_(first)).values(changed))
        connection.execute(sa.delete(contact_tables.contacts))
    yield empty_home
    Database(empty_home).close()


def recorded(home: Home) -> dict[tuple[str, str], float | None]:
    with DecisionLog(home) as log, log.reading() as connection:
        return {(row.decision_id, row.kind): row.value for row in connection.execute(sa.select(rows))}


def contacts(home: Home) -> set[str]:
    with DecisionLog(home) as log, log.reading() as connection:
        return set(connection.execute(sa.select(contact_tables.contacts.c.decision_id)).scalars())


def send(home: Home, customer: str, event: str, number: int, **properties: Any) -> None:
    at = START + timedelta(days=number)
    message = {"type": "track", "event": event, "userId": customer, "messageId": f"m{number}"}
    translated = translate(
        message | {"timestamp": at.isoformat(), "properties": properties}, at, Place("UTC", "EUR")
    )
    assert isinstance(translated, Message)
    journal.append(Database(home), [translated], compacted_seq=0)


def test_every_row_of_a_file_is_accounted_for(home: Home, tmp_path: Path) -> None:
    future = (NOW + timedelta(days=1)).isoformat()
    file = tmp_path / "outcomes.csv"
    lines = [
        "decision_id,outcome,value,at",
        "d1,shown,,2026-03-05T10:00:00Z",
        "d1,converted,12.50,2026-03-06",
        "d1,shown,,2026-03-07T10:00:00Z",
        "d1,converted,99,",
        "d2,rejected,,",
        "nobody,shown,,",
        ",shown,,",
        "d2,bought,,",
        "d2,converted,,",
        "d2,clicked,3,",
        "d2,converted,-3,",
        f"d2,accepted,,{future}",
    ]
    file.write_text("\n".join(lines) + "\n")
    done = import_outcomes(home, str(file))
    assert done == {
        "rows": 12,
        "recorded": 3,
        "repeated": 1,
        "rejected": {
            "conflicting": 1, "in_the_future": 1, "no_decision_id": 1, "unknown_decision": 1,
            "unknown_outcome": 1, "value_missing": 1, "value_of_no_conversion": 1, "value_out_of_range": 1,
        },
    }  # fmt: skip
    assert recorded(home) == {("d1", "shown"): None, ("d1", "converted"): 12.5, ("d2", "rejected"): None}
    assert import_outcomes(home, str(file))["repeated"] == 4
    assert contacts(home) == {"d1", "d2"}


def test_a_file_without_the_columns_changes_nothing(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text("decision,outcome\nd1,shown\n")
    with pytest.raises(PatronError, match="there is no column decision_id; it has decision, outcome"):
        import_outcomes(home, str(file))
    assert recorded(home) == {}


def test_events_that_name_a_decision_are_outcomes_of_it(home: Home) -> None:
    send(home, "c0", "Action Shown", 1, decision_id="d1")
    send(home, "c0", "Email Link Clicked", 2, decision_id="d1")
    send(home, "c0", "Action Accepted", 3, decision_id="d2")  # of another customer
    send(home, "c0", "Action Accepted", 4, decision_id="unknown")
    send(home, "c0", "Email Opened", 5, message_id="d2")  # names no decision
    send(home, "c0", "Action Shown", 6, decision_id="d1")
    done = report.update(home)["outcomes_from_events"]
    assert done == {"recorded": 2, "repeated": 0, "unknown_decision": 1, "other_customer": 1}
    assert recorded(home) == {("d1", "shown"): None, ("d1", "clicked"): None}
    assert report.update(home)["outcomes_from_events"]["repeated"] == 2


def test_after_a_merge_the_events_of_both_are_of_one_customer(home: Home) -> None:
    with Database(home).writing() as connection:
        join(connection, "c0", "c1", int(START.timestamp() * 1e6), 10**6)
    send(home, "c1", "Action Accepted", 1, decision_id="d1")
    assert report.update(home)["outcomes_from_events"]["recorded"] == 1


def test_an_outcome_is_undone_and_with_it_the_contact(home: Home) -> None:
    with DecisionLog(home) as log:
        for kind in ("shown", "clicked"):
            outcomes.record(log, "d1", kind, None, NOW)
        assert outcomes.remove(log, "d1", "clicked")
        assert contacts(home) == {"d1"}
        assert not outcomes.remove(log, "d1", "clicked")
        assert outcomes.remove(log, "d1", "shown")
        assert contacts(home) == set()
        assert outcomes.record(log, "d1", "shown", None, NOW)[0]
        with pytest.raises(outcomes.UnknownDecision):
            outcomes.remove(log, "nobody", "shown")
