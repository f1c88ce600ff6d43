"""Who is who, from the journal to the readers: one spelling, linked ids, conflicts of messages, splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import identity, journal, lake
from events.identity import Identity
from events.identity.customer_ids import BLANKS, fold
from events.journal import Message, Refused
from events.lake import compaction, shops
from events.lake.buckets import History
from events.schema import latest
from events.segment.translate import Place, translate
from features.offline import populations

START = datetime(2024, 5, 1, 12, tzinfo=UTC)
PLACE = Place("UTC", "EUR")


def send(home: Home, *messages: dict[str, Any], at: datetime = START) -> journal.Appended:
    """Store messages as they arrive, those that cannot be used in the quarantine."""
    results = [translate({"type": "track", "event": "x"} | m, at, PLACE) for m in messages]
    arrived = [m for m in results if isinstance(m, Message)]
    refused = [m for m in results if isinstance(m, Refused)]
    return journal.append(Database(home), arrived, refused, compacted_seq=0)


def split(home: Home, customer_id: str, at: datetime) -> identity.IdentitySplit:
    return journal.split(Database(home), customer_id, at, compacted_seq=0)


def keys(home: Home, *customer_ids: str) -> list[int | None]:
    known = Identity(home).keys(customer_ids)
    return [known.get(customer_id) for customer_id in customer_ids]


def activities(home: Home, customer_id: str, as_of: datetime) -> list[str]:
    """The names of a customer's activities that were known at a moment, through the lake's reader."""
    (key,) = keys(home, customer_id)
    backend = lake.connect()
    table = lake.read(home, backend).known_at(as_of).activities
    rows = table.filter(table.customer_key == key).select("name")
    return sorted(backend.to_pyarrow(rows)["name"].to_pylist())


@pytest.fixture
def shop(empty_home: Home) -> Home:
    empty_home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    lake.write(empty_home, lake.connect().con, "UTC", {"source": "live"})
    return empty_home


TEXTS = st.text(
    st.sampled_from("aé\u0308\u0301ÅA\u212b\u1e9b\u0323 \t\u00a0\u200b\u3000ﬁ가ᄀ\u200d"), max_size=8
)


@given(TEXTS, st.text(BLANKS, max_size=3), st.text(BLANKS, max_size=3))
def test_folding_takes_compositions_and_outer_blanks_and_nothing_else(
    text: str, before: str, after: str
) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert fold(before + text + after) == folded
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, text)) == folded
    assert fold(text.upper() + "x") == fold(unicodedata.normalize("NFD", text.upper()) + "x")
    assert folded in unicodedata.normalize("NFC", text)


def test_every_spelling_of_an_id_means_its_customer(shop: Home) -> None:
    send(shop, {"userId": " Zo\u00eb "}, {"userId": "Zoe\u0308"}, {"userId": "zo\u00eb"})
    assert keys(shop, "Zo\u00eb", "Zoe\u0308", "\ufeffZo\u00eb", "zo\u00eb") == [1, 1, 1, 2]
    assert [keys(shop, one) for one in ("Zoe\u0308 ", "ZO\u00cb")] == [[1], [None]]
    assert Identity(shop).look_alikes() == 2


def test_a_message_with_both_ids_links_them(shop: Home) -> None:
    send(shop, {"anonymousId": "d", "event": "a"})
    send(shop, {"userId": "u", "anonymousId": "d", "event": "b"}, at=START + timedelta(hours=1))
    send(shop, {"anonymousId": "d", "event": "c"}, at=START + timedelta(hours=2))
    (key,) = {*keys(shop, "u", "anonymous:d")}
    assert Identity(shop).ids([key or 0]) == {key: "u"}
    assert activities(shop, "u", START + timedelta(days=1)) == ["a", "b", "c"]


@pytest.mark.parametrize("device_first", [True, False])
def test_alias_joins_a_device_that_only_the_previous_id_names(shop: Home, device_first: bool) -> None:
    alias = {"type": "alias", "previousId": "d", "userId": "u"}
    device = {"anonymousId": "d"}
    for message in (device, alias) if device_first else (alias, device):
        send(shop, message)
    assert keys(shop, "anonymous:d") == keys(shop, "u") != [None]


def test_alias_of_an_id_of_the_companys_own_leaves_a_device_of_that_name_alone(shop: Home) -> None:
    send(
        shop,
        {"userId": "old"},
        {"type": "alias", "previousId": "old", "userId": "new"},
        {"anonymousId": "old"},
    )
    old, new, device = keys(shop, "old", "new", "anonymous:old")
    assert old == new != device


def test_one_message_id_with_two_bodies_is_two_messages_and_counted(shop: Home) -> None:
    order = {"event": "Order Completed", "messageId": "m", "properties": {"revenue": 10}}
    other = order | {"userId": "b", "properties": {"revenue": 99}}
    first = send(shop, order | {"userId": "a"}, other)
    assert (first.new, first.conflicts) == (2, 1)
    again = send(shop, other | {"sentAt": START.isoformat()}, order | {"userId": "a"})
    assert (again.new, again.repeated, again.conflicts) == (0, 2, 0)
    assert journal.count_conflicts(Database(shop)) == 1
    lines = journal.tail(Database(shop), 0)["order_lines"].to_pylist()
    assert [int(line["amount"]) for line in lines] == [10, 99]
    assert len({line["order_id"] for line in lines}) == 2


def test_two_bodies_that_cannot_be_used_both_wait_in_the_quarantine(shop: Home) -> None:
    send(shop, {"messageId": "m", "userId": "null"}, {"messageId": "m", "userId": "NaN"})
    send(shop, {"messageId": "m", "userId": "null"})
    with Database(shop).reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(journal.quarantine)).scalar() == 2


# Splits


def test_a_split_gives_each_their_own_events_from_then_on(shop: Home) -> None:
    hour = timedelta(hours=1)
    send(shop, {"userId": "a", "event": "a0"}, {"userId": "b", "event": "b0"})
    send(shop, {"type": "alias", "previousId": "a", "userId": "b"}, at=START + hour)
    send(shop, {"userId": "a", "event": "a1"}, {"userId": "b", "event": "b1"}, at=START + 2 * hour)
    before = activities(shop, "b", START + 3 * hour)
    merged = Identity(shop).keys(["b"])["b"]
    assert before == ["a0", "a1", "b0", "b1"]
    split(shop, "a", START + 4 * hour)
    send(shop, {"userId": "a", "event": "a2"}, {"userId": "b", "event": "b2"}, at=START + 5 * hour)
    assert activities(shop, "a", START + 6 * hour) == ["a0", "a1", "a2"]
    assert activities(shop, "b", START + 6 * hour) == ["b0", "b1", "b2"]
    assert activities(shop, "a", START + 3 * hour) == activities(shop, "b", START + 3 * hour) == []
    backend = lake.connect()
    as_it_was = lake.read(shop, backend).known_at(START + 3 * hour).activities
    names = backend.to_pyarrow(as_it_was.filter(as_it_was.customer_key == merged).select("name"))
    assert sorted(names["name"].to_pylist()) == before
    changes = journal.changes(Database(shop), 0)
    assert set(changes.customer_keys) == {*keys(shop, "a", "b")}
    with pytest.raises(PatronError, match="the only one"):
        split(shop, "a", START + 7 * hour)


def test_a_split_stands_against_messages_that_would_merge_again(shop: Home) -> None:
    send(shop, {"anonymousId": "d"}, {"userId": "u"}, {"userId": "u", "anonymousId": "d"})
    split(shop, "anonymous:d", START)
    send(shop, {"userId": "u", "anonymousId": "d"}, {"type": "alias", "previousId": "d", "userId": "u"})
    device, customer = keys(shop, "anonymous:d", "u")
    assert device != customer


def test_an_id_without_events_of_its_own_is_taken_out_alone(shop: Home) -> None:
    send(shop, {"anonymousId": "d", "event": "a"}, {"userId": "u", "anonymousId": "d", "event": "b"})
    split(shop, "anonymous:d", START)
    later = START + timedelta(hours=1)
    send(shop, {"anonymousId": "d", "event": "c"}, at=later)
    assert activities(shop, "u", later + timedelta(hours=1)) == ["a", "b"]
    assert activities(shop, "anonymous:d", later + timedelta(hours=1)) == ["c"]


def test_a_split_of_an_unknown_id_changes_nothing(shop: Home) -> None:
    send(shop, {"userId": "u"})
    for customer_id, why in (("v", "no customer"), ("u", "the only one")):
        with pytest.raises(PatronError, match=why):
            split(shop, customer_id, START)


@dataclass(frozen=True)
class View:
    """What readers of the lake see at a moment, by the keys of the customers of whom something is known.

    Attributes:
        activities: the names of each customer's activities.
        orders: the lines of each customer's orders, by number and amount.
    """

    activities: dict[int, list[str]]
    orders: dict[int, list[tuple[str, int]]]


def view(home: Home, as_of: datetime) -> View:
    events = lake.read(home, lake.connect())
    alive = populations.everyone(events, as_of, "UTC").to_pyarrow()["customer_key"].to_pylist()
    known = events.known_at(as_of)
    activities = known.activities.to_pyarrow().to_pylist()
    lines = latest(known.order_lines).to_pyarrow().to_pylist()
    return View(
        {key: sorted(row["name"] for row in activities if row["customer_key"] == key) for key in alive},
        {
            key: sorted((row["order_id"], int(row["amount"])) for row in lines if row["customer_key"] == key)
            for key in alive
        },
    )


def live_view(home: Home, as_of: datetime, customer_keys: Sequence[int]) -> View:
    """The same of some customers as live rows read it."""
    database = Database(home)
    tables = History(home, database).of(customer_keys)
    database.close()
    at = as_of.replace(tzinfo=None)
    rows = {
        name: [
            row
            for row in table.to_pylist()
            if row["timestamp"] < at
            and row["received_at"] <= at
            and (row.get("replaced_at") is None or row["replaced_at"] > at)
        ]
        for name, table in tables.items()
    }
    return View(
        {k: sorted(r["name"] for r in rows["activities"] if r["customer_key"] == k) for k in customer_keys},
        {
            k: sorted(
                (r["order_id"], int(r["amount"])) for r in rows["order_lines"] if r["customer_key"] == k
            )
            for k in customer_keys
        },
    )


def from_file(home: Home, *customer_ids: str) -> None:
    """Add an order of each customer as an import does; all have the number ``file``."""
    connection = lake.connect().con
    rows = ", ".join(f"('{each}', {i + 1})" for i, each in enumerate(customer_ids))
    connection.execute(
        "CREATE TABLE order_lines AS SELECT id AS customer_id, TIMESTAMP '2024-04-01 10:00:00' AS timestamp,"
        " TIMESTAMP '2024-04-01 10:00:00' AS received_at, 'file' AS order_id, 'tea' AS product_id,"
        " 'food' AS category, 1::BIGINT AS quantity, amount::DECIMAL(18, 4) AS amount,"
        f" 0::DECIMAL(18, 4) AS discount FROM (VALUES {rows}) AS people(id, amount)"
    )
    lake.write(home, connection, "UTC", {"source": "live"}, add=True, imported=True)


ACTS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(["a", "b", "c", "anonymous:d"]), st.just("")),
    st.tuples(st.just("alias"), st.sampled_from("abcd"), st.sampled_from("abc")),
    st.tuples(st.just("split"), st.sampled_from(["a", "b", "c", "anonymous:d"]), st.just("")),
    st.tuples(st.just("compact"), st.just(""), st.just("")),
)


def act(home: Home, number: int, step: tuple[str, str, str], at: datetime) -> None:
    """Do one step in the life of a shop; every call opens the home anew, as after a restart."""
    kind, one, other = step
    compacted_seq = lake.metadata(home).compacted_seq
    if kind == "compact":
        compaction.compact(home, Database(home))
        return
    if kind == "split":
        with suppress(PatronError):
            journal.split(Database(home), one, at, compacted_seq=compacted_seq)
        return
    owner = {"anonymousId": "d"} if one == "anonymous:d" else {"userId": one}
    messages: list[dict[str, Any]] = [{"type": "alias", "previousId": one, "userId": other}]
    if kind == "event":
        order = {"event": "Order Completed", "properties": {"order_id": f"o{number % 2}", "revenue": number}}
        messages = [owner | {"event": f"e{number}"}, owner | order]
    results = [translate({"type": "track"} | message, at, PLACE) for message in messages]
    arrived = [message for message in results if isinstance(message, Message)]
    journal.append(Database(home), arrived, compacted_seq=compacted_seq)


@pytest.mark.slow
@given(st.lists(ACTS, min_size=4, max_size=7), st.booleans())
@settings(max_examples=2)
@example(
    [("event", "a", ""), ("event", "b", ""), ("alias", "a", "b"), ("alias", "b", "a"), ("event", "a", ""),
     ("compact", "", ""), ("split", "a", ""), ("event", "b", ""), ("compact", "", "")],
    True,
)  # fmt: skip
@example(
    [("event", "a", ""), ("alias", "a", "b"), ("alias", "b", "c"), ("alias", "c", "a"), ("event", "c", ""),
     ("split", "b", ""), ("alias", "a", "c"), ("split", "a", ""), ("event", "a", "")],
    False,
)  # fmt: skip
def test_the_past_stays_as_it_was_known_and_live_rows_are_those_of_the_lake(
    steps: list[tuple[str, str, str]], with_file: bool
) -> None:
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        shops.begin_live(home, "UTC", "EUR")
        if with_file:
            from_file(home, "a", "b")
        seen: dict[datetime, View] = {}
        for number, step in enumerate(steps, 1):
            at = START + timedelta(hours=number)
            act(home, number, step, at)
            now = at + timedelta(minutes=30)
            seen[now] = view(home, now)
            alive = list(seen[now].activities)
            assert live_view(home, now, alive) == seen[now]
            current = {key for key in keys(home, "a", "b", "c", "anonymous:d") if key is not None}
            assert {key for key in alive if seen[now].activities[key] or seen[now].orders[key]} <= current
            owners = [name for names in seen[now].activities.values() for name in names]
            assert len(owners) == len(set(owners))  # no event is two customers'
            happened = {f"e{i}" for i, step in enumerate(steps[:number], 1) if step[0] == "event"}
            assert set(owners) == happened
        for moment, before in seen.items():
            assert view(home, moment) == before


def test_a_later_file_of_both_customers_is_each_ones_after_a_split(shop: Home) -> None:
    hour = timedelta(hours=1)
    from_file(shop, "a", "b")
    act(shop, 1, ("alias", "a", "b"), START + hour)
    merged = view(shop, START + 2 * hour)
    (both,) = {*keys(shop, "a", "b")}
    split(shop, "a", START + 3 * hour)
    for _ in range(2):
        a, b = keys(shop, "a", "b")
        after = view(shop, START + 4 * hour)
        assert (after.orders[a or 0], after.orders[b or 0]) == ([("file", 1)], [("file", 2)])
        assert view(shop, START + 2 * hour) == merged
        assert both in merged.orders
        from_file(shop, "a", "b", "z")  # the next export has them again
        compaction.compact(shop, Database(shop))
        merged.activities[keys(shop, "z")[0] or 0] = []
        merged.orders[keys(shop, "z")[0] or 0] = [("file", 3)]


ALIASES = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), max_size=8)
STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "split"]), st.sampled_from("abc"), st.sampled_from("abc")), max_size=9
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return Database(Home(tmp_path_factory.mktemp("ids")))


@contextmanager
def five_customers(database: Database) -> Iterator[tuple[sa.Connection, dict[str, int]]]:
    with database.writing() as connection:
        for table in (identity.splits, identity.merges, identity.ids, identity.customers):
            connection.execute(sa.delete(table))
        yield connection, identity.assign(connection, list("abcde"))


@given(ALIASES, st.data())
def test_merges_in_any_order_end_with_the_same_customers_and_cycles_are_harmless(
    database: Database, aliases: list[tuple[str, str]], data: st.DataObject
) -> None:
    def groups(pairs: Sequence[tuple[str, str]]) -> set[frozenset[str]]:
        with five_customers(database) as (connection, _):
            for seq, (earlier, later) in enumerate(pairs):
                identity.join(connection, earlier, later, seq, seq)
            known = identity.keys_of(connection, list("abcde"))
        return {frozenset(i for i in known if known[i] == key) for key in known.values()}

    assert groups(aliases) == groups(data.draw(st.permutations(aliases)))


@given(STEPS)
def test_after_merges_and_splits_each_event_is_one_customers(
    database: Database, steps: list[tuple[str, str, str]]
) -> None:
    """Every id leads to a customer who has that id's own events, and no event is of two customers."""
    with five_customers(database) as (connection, origin):
        for seq, (step, one, other) in enumerate(steps, 1):
            if step == "join":
                identity.join(connection, one, other, seq, seq)
            else:
                with suppress(PatronError):
                    identity.split(connection, one, seq, seq)
        owners = identity.owners(connection, list("abcde"))
        merged = identity.read_merges(connection)
    gone = {merge.customer_key for merge in merged}
    assert not gone & {owner.customer_key for owner in owners.values()}

    def readers(key: int) -> set[int]:
        return ({key} | {merge.into for merge in merged if merge.customer_key == key}) - gone

    for customer_id, owner in owners.items():
        assert readers(origin[customer_id]) == {owner.customer_key}
        assert readers(owner.stored_under) == {owner.customer_key}
