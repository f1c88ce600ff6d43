"""After an older copy of the database is restored, every command still works and every event is seen once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from core.calendar import day_of, micros
from core.home import Home
from core.storage.database import METADATA, Database
from events import journal, lake
from events.identity import Identity
from events.journal import Message, Refused
from events.lake import compaction, shops, versions
from events.queries.timeline import Timeline
from events.segment import quarantine
from events.segment.translate import Place, translate

ZONE = "Europe/Berlin"
START = datetime(2024, 3, 1, tzinfo=UTC)
Copy = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def ends_in_time() -> Iterator[None]:
    """Fails a test that waits for ever."""

    def expire(*_: object) -> NoReturn:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def order(n: int, customer_id: str = "ann") -> Message:
    """The order ``o<n>`` of a customer."""
    at = START + timedelta(hours=n)
    line = [micros(at), micros(at), day_of(at, ZONE), f"o{n}", "tea", "food", 2, "12.5000", "0.0000"]
    return Message(f"m{n}", at, customer_id, rows={"order_lines": [line]})


def append(home: Home, *numbers: int, customer_id: str = "ann") -> None:
    arrived = [order(n, customer_id) for n in numbers]
    journal.append(Database(home), arrived, **versions.position(home)._asdict())


def orders(home: Home) -> list[str]:
    """The numbers of all orders a reader sees, sorted; twice where one is seen twice."""
    table = lake.read(home, lake.connect()).order_lines.to_pyarrow()
    return sorted(table["order_id"].to_pylist())


def copy_of(database: Database) -> Copy:
    with database.reading() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in METADATA.sorted_tables
        }


def restore(database: Database, copy: Copy) -> None:
    with database.writing() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(sa.delete(table))
            if copy[table.name]:
                connection.execute(sa.insert(table), copy[table.name])


@pytest.fixture
def home(empty_home: Home) -> Home:
    """A shop whose lake holds the messages 1 to 5, and whose database is a copy from after message 2.

    The copy also holds an event in the quarantine that can be used by now.
    """
    home, database = empty_home, Database(empty_home)
    shops.begin_live(home, ZONE, "EUR")
    append(home, 1, 2)
    compaction.compact(home, database)
    event = {"type": "track", "event": "Page Seen", "userId": "ann", "messageId": "q1"}
    refused = [Refused(START, "not yet", json.dumps(event), "q1")]
    journal.append(database, [], refused, compacted_seq=0)
    copy = copy_of(database)
    append(home, 3, 4, 5)
    compaction.compact(home, database)
    restore(database, copy)
    return home


def in_order(home: Home) -> bool:
    record = lake.metadata(home).record
    return bool(record["forgotten_seq"] <= record["compacted_seq"] <= journal.last(Database(home)))


def write_order(home: Home, n: int) -> None:
    """Import an order as a file would."""
    connection = lake.connect().con
    connection.execute(
        "CREATE TABLE order_lines AS SELECT 'bob' customer_id, TIMESTAMP '2024-03-02 10:00:00' AS timestamp,"
        f" TIMESTAMP '2024-03-02 10:00:00' received_at, 'o{n}' order_id, 'tea' product_id, 'food' category,"
        " 1::BIGINT quantity, 5::DECIMAL(18, 4) amount, 0::DECIMAL(18, 4) discount"
    )
    lake.write(home, connection, ZONE, {"source": "mapping"}, add=True, imported=True)


def test_a_compaction_loses_and_doubles_nothing(home: Home) -> None:
    database = Database(home)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5"]
    assert compaction.compact(home, database) == 0
    append(home, 6)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert compaction.compact(home, database) == 1
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert in_order(home)
    key = 1
    assert len(Timeline(home).page(key, START + timedelta(days=1), 50).events) == 6


def test_an_import_adds_its_events(home: Home) -> None:
    write_order(home, 7)
    append(home, 8)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o7", "o8"]
    write_order(home, 9)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o7", "o8", "o9"]
    assert in_order(home)


def test_a_replaced_shop_goes_on_with_the_numbers(home: Home) -> None:
    connection = lake.connect().con
    lake.write(home, connection, ZONE, {"source": "mapping"}, imported=True)
    append(home, 6)
    assert orders(home) == ["o6"]
    assert lake.current(home).compacted_seq == 5
    assert in_order(home)


def test_a_replayed_event_is_seen(home: Home) -> None:
    seq = versions.current(home).compacted_seq
    replayed = quarantine.replay(Database(home), Place(ZONE, "EUR"), compacted_seq=seq)
    assert replayed == quarantine.Replayed(1, 0)
    activities = lake.read(home, lake.connect()).activities.to_pyarrow()
    assert activities["name"].to_pylist() == ["Page Seen"]
    assert compaction.compact(home, Database(home)) == 1
    assert lake.read(home, lake.connect()).activities.count().execute() == 1


def test_a_lake_that_claims_to_have_forgotten_more_than_it_holds_is_read(home: Home) -> None:
    """As an earlier release published it after a restore."""
    pointer = home.events / "import.json"
    record = json.loads(pointer.read_text())
    pointer.write_text(json.dumps(record | {"compacted_seq": 2, "forgotten_seq": 5}))
    append(home, 6)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o6"]
    write_order(home, 7)
    assert orders(home) == ["o1", "o2", "o3", "o4", "o5", "o6", "o7"]
    assert in_order(home)


# The keys of customers


@pytest.fixture(params=["now", "by an earlier release"])
def home_of_three(request: pytest.FixtureRequest, empty_home: Home) -> Home:
    """A shop whose lake has the customers 1 to 3, and whose database is a copy that knows only the first."""
    database = Database(empty_home)
    shops.begin_live(empty_home, ZONE, "EUR")
    append(empty_home, 1)
    compaction.compact(empty_home, database)
    journal.append(database, [], [REFUSED], compacted_seq=0)
    copy = copy_of(database)
    append(empty_home, 2, customer_id="bob")
    append(empty_home, 3, customer_id="cleo")
    compaction.compact(empty_home, database)
    restore(database, copy)
    if request.param == "by an earlier release":  # which did not write the key
        pointer = empty_home.events / "import.json"
        pointer.write_text(json.dumps({k: v for k, v in json.loads(pointer.read_text()).items() if k != KEY}))
    return empty_home


KEY = "last_key"
REFUSED = Refused(
    START, "not yet", json.dumps({"type": "track", "event": "x", "userId": "dora", "messageId": "q"}), "q"
)


def arrives(home: Home) -> None:
    append(home, 7, customer_id="dora")


def arrives_after_a_compaction(home: Home) -> None:
    compaction.compact(home, Database(home))
    append(home, 7, customer_id="dora")


def is_imported(home: Home) -> None:
    write_order(home, 7)


def is_replayed(home: Home) -> None:
    position = versions.position(home)
    replayed = quarantine.replay(Database(home), Place(ZONE, "EUR"), **position._asdict())
    assert replayed.accepted == 1


def is_split_off(home: Home) -> None:
    event = {"type": "identify", "userId": "ann", "anonymousId": "dora"}
    message = translate(event, START, Place(ZONE, "EUR"))
    assert isinstance(message, Message)
    journal.append(Database(home), [message], compacted_seq=versions.current(home).compacted_seq)
    at = START + timedelta(days=1)
    journal.split(Database(home), "anonymous:dora", at, **versions.position(home)._asdict())


@pytest.mark.parametrize(
    "begins", [arrives, arrives_after_a_compaction, is_imported, is_replayed, is_split_off]
)
def test_a_new_customer_does_not_get_the_history_of_one_whom_the_copy_does_not_know(
    home_of_three: Home, begins: Callable[[Home], None]
) -> None:
    before = set(Identity(home_of_three).keys(["ann"]).values())
    begins(home_of_three)
    for _ in range(2):
        known = Identity(home_of_three).table().to_pylist()
        new = {row["customer_key"] for row in known} - before
        assert new
        assert min(new) > 3
        lines = lake.read(home_of_three, lake.connect()).order_lines.to_pyarrow().to_pylist()
        orders_of_new = {row["order_id"] for row in lines if row["customer_key"] in new}
        assert orders_of_new <= {"o7", "o1"}
        compaction.compact(home_of_three, Database(home_of_three))
    assert lake.metadata(home_of_three).last_key >= 3
    assert "" not in Identity(home_of_three).ids([1, 2, 3]).values()
