"""Contacts as events: features count them from the moment when they were known on, and not if undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from benchmarks.decisions.known_effect import NOW, START, make
from core.home import Home
from core.storage import duckdb_engine
from core.storage.database import Database
from decisions.results import report
from events import lake
from events.identity import join
from features.group import compute
from features.groups import FEATURES
from features.offline.populations import population_table
from records import outcomes
from records.contacts import ledger, tables
from records.contacts.contact import SENT
from records.decisions import DecisionLog
from records.tables import decisions

CONTACTED = NOW - timedelta(days=3)


@pytest.fixture
def home(empty_home: Home) -> Iterator[Home]:
    make(empty_home, 3, 3)
    declared = empty_home.actions.read_text() + "\n[channels.email]\ncontacts_as_events = true\n"
    empty_home.actions.write_text(declared)
    with DecisionLog(empty_home) as log, log.writing() as connection:
        connection.execute(sa.delete(tables.contacts))
        first = sa.select(decisions.c.n).where(decisions.c.customer_key == 1)
        changed = {"id": "d1", "action": "offer", "channel": "email"}
        connection.execute(sa.update(decisions).where(decisions.c.n.in_(first)).values(changed))
        ledger.record(connection, "d1", SENT, CONTACTED)
    yield empty_home
    Database(empty_home).close()


def features(home: Home, as_of: datetime, *names: str) -> list[object]:
    """Features of the first customer."""
    backend = duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY)
    rows = pd.DataFrame({"customer_key": [1], "as_of": [as_of.replace(tzinfo=None)]})
    population = population_table(backend, rows, "UTC")
    table = compute(lake.read(home, backend), population, [FEATURES[name] for name in names])
    (values,) = backend.to_pyarrow(table).select([*names]).to_pylist()
    return [values[name] for name in names]


def test_a_contact_counts_from_when_it_was_known_and_once(home: Home) -> None:
    names = ("contacts_30d", "days_since_contact")
    assert features(home, NOW, *names) == [0, None]
    for _ in range(2):
        report.update(home)
        assert features(home, NOW, *names) == [1, 3]
    assert features(home, NOW - timedelta(seconds=1), *names) == [0, None]  # it was not written yet


def test_a_contact_that_is_taken_back_counts_no_more(home: Home) -> None:
    report.update(home)
    with DecisionLog(home) as log, log.writing() as connection:
        ledger.undo(connection, "d1", {})
    report.update(home)
    assert features(home, NOW, "contacts_30d") == [0]


def test_a_click_is_a_response(home: Home) -> None:
    with DecisionLog(home) as log:
        outcomes.record(log, "d1", "accepted", None, CONTACTED + timedelta(hours=1))
    report.update(home)
    assert features(home, NOW, "contacts_30d", "clicked_90d", "ignored_in_a_row") == [1, 1, 0]


def test_the_contact_of_a_merged_customer_is_the_others(home: Home) -> None:
    with Database(home).writing() as connection:
        join(connection, "c0", "c1", int(START.timestamp() * 1e6), 10**6)
    report.update(home)
    backend = duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY)
    seen = lake.read(home, backend).activities
    assert seen.filter(seen.name == "Contact Sent").count().execute() >= 1


def test_without_the_setting_nothing_is_written(home: Home) -> None:
    home.actions.write_text(home.actions.read_text().replace("contacts_as_events = true", ""))
    report.update(home)
    assert features(home, NOW, "contacts_30d") == [0]
