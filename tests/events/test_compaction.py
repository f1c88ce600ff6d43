"""What arrives is seen once, whatever moves it, whatever is imported beside it, and whatever crashes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.calendar import day_and_hour_of, day_of, micros, moment
from core.errors import PatronError
from core.home import Home
from core.progress import silent
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal, lake
from events.identity import Identity
from events.journal import Message
from events.lake import compaction as compact
from events.lake import shops
from events.queries.timeline import Timeline
from events.schema import SCHEMAS, Events, latest
from events.simulation import simulated_shop
from events.simulation.simulate import Plan
from features.group import compute
from features.groups import FEATURES
from features.groups.purchases import purchases
from features.offline import populations, snapshots
from features.offline.snapshot_set import FILE_TIME, SnapshotSet

ZONE = "Europe/Berlin"
START = datetime(2024, 3, 1, tzinfo=UTC)
Seen = dict[str, Counter[tuple[Any, ...]]]


def row(at: datetime, received: datetime, *rest: Any) -> list[Any]:
    return [micros(at), micros(received), day_of(at, ZONE), *rest]


def order(who: str, n: int, at: datetime, received: datetime | None = None) -> Message:
    """A message of one order line, and of a trait and a page seen."""
    received = received or at
    page = (
        day_and_hour_of(at, ZONE)[1],
        "Page Viewed",
        "page",
        "web",
        None,
        None,
        None,
        None,
        f'{{"n":{n}}}',
    )
    rows = {
        "order_lines": [row(at, received, f"o{n}", "tea", "food", 2, "12.5000", "0.0000")],
        "traits": [row(at, received, "visits", str(n))],
        "activities": [row(at, received, *page)],
    }
    return Message(f"m{n}", received, who, rows=rows)


def counted(events: Events) -> Seen:
    """The multiset of events of each table, the latest versions; the same text for the same value."""
    return {name: _multiset(latest(table).to_pyarrow()) for name, table in events.items()}


def _multiset(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(map(str, result.values())) for result in table.to_pylist())


def seen(home: Home) -> Seen:
    return counted(lake.read(home, lake.connect()))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    shops.begin_live(home, ZONE, "EUR")
    return home


STAGES = ("os.link", "os.replace", "os.fsync", "journal.forget")


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crashing(stage: str, step: int) -> Iterator[list[bool]]:
    """Let the so-many-th call of a function end what is done here; what is given holds True then."""
    module, name = {"os": os, "journal": journal}[stage.split(".")[0]], stage.split(".")[1]
    real, left, crashed = getattr(module, name), [step], list[bool]()

    def call(*given: Any, **named: Any) -> Any:
        if left[0] == 0:
            raise Crash
        left[0] -= 1
        return real(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, call)
        try:
            yield crashed
        except Crash:
            crashed.append(True)


def write_lines(home: Home, lines: list[tuple[str, list[Any]]]) -> None:
    """Import order lines, each with its customer's id, as a file would tell them."""
    connection = lake.connect().con
    connection.execute(
        "CREATE TABLE order_lines (customer_id VARCHAR, timestamp TIMESTAMP, received_at TIMESTAMP,"
        " order_id VARCHAR, product_id VARCHAR, category VARCHAR, quantity BIGINT, amount DECIMAL(18, 4),"
        " discount DECIMAL(18, 4))"
    )
    for who, (at, received, _day, *rest) in lines:
        connection.execute(
            "INSERT INTO order_lines VALUES (?, make_timestamp(?), make_timestamp(?), ?, ?, ?, ?, ?, ?)",
            [who, at, received, *rest],
        )
    lake.write(home, connection, ZONE, {"source": "mapping"}, add=True, imported=True)


class ExpectedEvents:
    """What was told, as plainly as it can be kept: who is who, and whose each event is."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.merges: dict[tuple[int, int], int] = {}
        self.rows: list[tuple[int, str, list[Any]]] = []

    def tell(self, who: str, rows: dict[str, list[list[Any]]]) -> None:
        key = self.keys.setdefault(who, len(set(self.keys.values()) | {k for k, _ in self.merges}) + 1)
        self.rows += [(key, name, row) for name, part in rows.items() for row in part]

    def merge(self, earlier: str, later: str, at_us: int) -> None:
        if later not in self.keys and earlier in self.keys:
            self.keys[later] = self.keys[earlier]
        self.tell(later, {})
        into, key = self.keys[later], self.keys.setdefault(earlier, self.keys[later])
        if key == into:
            return
        for each in [key, *(a for a, b in self.merges if b == key)]:
            self.merges.setdefault((each, into), at_us)
        self.keys = {name: into if at == key else at for name, at in self.keys.items()}

    def seen(self) -> Seen:
        result: Seen = {name: Counter() for name in SCHEMAS}
        for key, name, (at, received, *rest) in self.rows:
            given_value = [
                (key, received),
                *((b, max(received, t)) for (a, b), t in self.merges.items() if a == key),
            ]
            for whose, known in given_value:
                moments = (moment(us).replace(tzinfo=None) for us in (at, known))
                result[name][tuple(map(str, (whose, *moments, *rest)))] += 1
        return result


@settings(max_examples=6, stateful_step_count=12, suppress_health_check=[*HealthCheck])
class Arrivals(RuleBasedStateMachine):
    """Events arrive, customers merge, files are imported, compactions run and crash."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home = Home(self.folder / "home")
        shops.begin_live(self.home, ZONE, "EUR")
        self.database = Database(self.home)
        self.expected, self.messages = ExpectedEvents(), list[Message]()
        self.opened: tuple[str, Events, Seen] | None = None
        self.now = START

    def next(self) -> int:
        self.now += timedelta(hours=1)
        return int((self.now - START).total_seconds()) // 3600

    @rule(who=st.sampled_from("abcd"), late_hours=st.integers(0, 48), again=st.booleans())
    def arrive(self, who: str, late_hours: int, again: bool) -> None:
        n = self.next()
        message = order(who, n, self.now - timedelta(hours=late_hours), self.now)
        journal.append(self.database, [message, message] if again else [message], compacted_seq=0)
        self.messages.append(message)
        self.expected.tell(who, message.rows)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if self.messages:
            journal.append(self.database, [data.draw(st.sampled_from(self.messages))], compacted_seq=0)

    @rule(earlier=st.sampled_from("abcd"), later=st.sampled_from("abcd"))
    def merge(self, earlier: str, later: str) -> None:
        n = self.next()
        if earlier != later:
            journal.append(self.database, [Message(f"m{n}", self.now, later, joins=earlier)], compacted_seq=0)
            self.expected.merge(earlier, later, micros(self.now))

    @rule()
    def compact(self) -> None:
        compact.compact(self.home, self.database)

    @rule(stage=st.sampled_from(STAGES), step=st.integers(0, 60))
    def crash(self, stage: str, step: int) -> None:
        with crashing(stage, step):
            compact.compact(self.home, self.database)

    @rule(data=st.data(), new=st.booleans())
    def import_file(self, data: st.DataObject, new: bool) -> None:
        """A file that tells of orders that arrived, and perhaps of another one."""
        again = (
            data.draw(st.lists(st.sampled_from(self.messages), unique_by=id, max_size=3))
            if self.messages
            else []
        )
        lines = [(m.customer_id, m.rows["order_lines"][0]) for m in again]
        if new:
            fresh = order("e", self.next(), self.now).rows["order_lines"]
            self.expected.tell("e", {"order_lines": fresh})
            lines.append(("e", fresh[0]))
        if lines:
            write_lines(self.home, lines)

    @rule()
    def open(self) -> None:
        stored, events = lake.metadata(self.home).version, lake.read(self.home, lake.connect())
        self.opened = stored, events, counted(events)

    @invariant()
    def every_event_is_seen_once(self) -> None:
        assert seen(self.home) == self.expected.seen()

    @invariant()
    def who_opened_the_version_before_reads_on(self) -> None:
        metadata = lake.metadata(self.home)
        if self.opened and self.opened[0] in (metadata.version, metadata.before):
            assert counted(self.opened[1]) == self.opened[2]

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)


TestArrivals = Arrivals.TestCase


@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_at_every_step_of_a_compaction_loses_and_doubles_nothing(home: Home, stage: str):
    database = Database(home)
    journal.append(
        database, [order("abc"[n % 3], n, START + timedelta(hours=n)) for n in range(1, 5)], compacted_seq=0
    )
    compact.compact(home, database)
    journal.append(
        database, [order("abc"[n % 3], n, START + timedelta(hours=n)) for n in range(5, 9)], compacted_seq=0
    )
    expected, step, done = seen(home), 0, False
    while not done:
        with crashing(stage, step) as crashed:
            compact.compact(home, database)
        done = not crashed
        assert seen(home) == expected
        step = step + 1 if step < 3 else 3 * step
    assert step
    assert lake.current(home).compacted_seq == journal.last(database) == 8
    assert sum(seen(home)["order_lines"].values()) == 8


def test_what_the_version_before_lacks_stays_in_the_journal(home: Home):
    database = Database(home)
    for n in range(1, 4):
        before = lake.current(home)
        journal.append(database, [order("a", n, START)], compacted_seq=0)
        assert compact.compact(home, database) == 3
        assert compact.compact(home, database) == 0
        left = journal.tail(database, 0)["order_lines"].num_rows
        assert left == 1
        assert journal.tail(database, before.compacted_seq)["order_lines"].num_rows == 1
        assert lake.arrived(home, database)[1]["order_lines"].num_rows == 0


def test_only_the_buckets_that_are_touched_are_written_anew(home: Home):
    database = Database(home)
    journal.append(database, [order(f"c{n}", n, START) for n in range(40)], compacted_seq=0)
    compact.compact(home, database)
    before = lake.current(home).folder
    journal.append(database, [order("c2", 99, START)], compacted_seq=0)
    compact.compact(home, database)
    key = Identity(home, database).keys(["c2"])["c2"]
    for path in lake.current(home).folder.rglob("*.parquet"):
        table = path.parts[-3]
        same = path.samefile(before / path.relative_to(lake.current(home).folder))
        touched = table != "refunds" and path.parent.name == f"bucket={key % lake.BUCKETS:02d}"
        assert same is not touched
        rows = pq.read_table(path, partitioning=None).drop_columns(["properties"][: table == "activities"])
        assert rows.to_pylist() == sorted(rows.to_pylist(), key=lambda r: (r["customer_key"], r["timestamp"]))


def test_where_there_are_no_links_files_are_copied(home: Home, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise OSError(95, "not supported")

    database = Database(home)
    journal.append(database, [order("a", 1, START)], compacted_seq=0)
    expected = seen(home)
    monkeypatch.setattr(os, "link", refuse)
    assert compact.compact(home, database) == 3
    assert seen(home) == expected


def test_a_long_journal_is_moved_in_slices(home: Home, monkeypatch: pytest.MonkeyPatch):
    database = Database(home)
    journal.append(
        database, [order("abc"[n % 3], n, START + timedelta(hours=n)) for n in range(10)], compacted_seq=0
    )
    expected = seen(home)
    monkeypatch.setattr(compact, "SLICE", 3)
    assert compact.compact(home, database) == 30
    assert seen(home) == expected
    metadata = lake.metadata(home)
    assert (metadata.orders, metadata.record["from"], metadata.record["to"]) == (
        10,
        "2024-03-01",
        "2024-03-01",
    )


def test_the_generation_stays_and_so_do_monthly_snapshots(
    built_shop: Home, copy_home: Callable[[Home], Home]
):
    """A shop on wall time: what arrives is seen at once, and moves no snapshot of the past."""
    shop_copy = copy_home(built_shop)
    now = shop_copy.shop().now()
    key = Identity(shop_copy).keys(["C000001"])["C000001"]

    def orders(of: SnapshotSet) -> int:
        frame = of.frame(purchases, of.current).set_index("customer_key")
        return int(frame.loc[key, "orders_total"])

    counts = [orders(snapshots.build(shop_copy, monthly=False))]
    months = [p for p in shop_copy.snapshots.rglob("2*.parquet") if p.stem != f"{now:{FILE_TIME}}"]
    before = {path: path.stat().st_mtime_ns for path in months}
    assert before
    database = Database(shop_copy)
    journal.append(
        database, [order("C000001", 1, now - timedelta(days=40), now + timedelta(minutes=1))], compacted_seq=0
    )
    shop = shop_copy.shop()
    later = now + timedelta(minutes=2)
    shop_copy.write_shop(Shop(shop.source, shop.time_zone, shop.currency, Clock(later)))
    counts.append(orders(snapshots.build(shop_copy, monthly=False)))
    compact.compact(shop_copy, database)
    shop_copy.write_shop(
        Shop(shop.source, shop.time_zone, shop.currency, Clock(later + timedelta(minutes=1)))
    )
    counts.append(orders(snapshots.build(shop_copy, monthly=False)))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert counts == [counts[0], counts[0] + 1, counts[0] + 1]


def test_what_was_before_a_merge_does_not_know_it_and_what_is_after_does(home: Home):
    database = Database(home)
    days = [START + timedelta(days=n) for n in range(4)]
    journal.append(database, [order("anonymous:x", 1, days[0]), order("ann", 2, days[0])], compacted_seq=0)
    journal.append(
        database,
        [Message("m3", days[2], "ann", joins="anonymous:x"), order("ann", 4, days[2])],
        compacted_seq=0,
    )
    result = {}
    for moved in (False, True):
        if moved:
            compact.compact(home, database)
        for as_of in (days[1], days[3]):
            events = lake.read(home, lake.connect())
            request = populations.everyone(events, as_of, ZONE)
            frame = compute(events, request, [FEATURES["orders_total"]]).to_pandas()
            result[moved, as_of] = sorted(frame["orders_total"].tolist())
    # Two customers of one order each; then one of three, and nobody's is counted twice.
    assert result == {(moved, day): [1, 1] if day == days[1] else [3] for moved, day in result}
    page = Timeline(home).page(Identity(home).keys(["ann"])["ann"], days[3], 50, kinds=("order",))
    assert [e.position.id for e in page.events] == ["o4", "o2", "o1"]
    page = Timeline(home).page(Identity(home).keys(["ann"])["ann"], days[1], 50, kinds=("order",))
    assert [e.position.id for e in page.events] == ["o2"]


def test_a_timeline_tells_what_arrived_before_and_after_it_is_moved(home: Home):
    database, timeline = Database(home), Timeline(home)
    journal.append(database, [order("a", n, START + timedelta(hours=n)) for n in (1, 2)], compacted_seq=0)
    key = Identity(home, database).keys(["a"])["a"]
    pages = [timeline.page(key, START + timedelta(days=1), 50)]
    compact.compact(home, database)
    pages.append(timeline.page(key, START + timedelta(days=1), 50))
    assert pages[0] == pages[1]
    given_value = [e.position.id.partition("Viewed")[0] for e in pages[0].events]
    assert given_value == ["visits=2", "o2", "Page ", "visits=1", "o1", "Page "]


def test_a_refund_that_says_which_order_it_takes_back_keeps_it(home: Home):
    database, later = Database(home), START + timedelta(days=2)
    text = {
        "refunds": [
            row(later, later, order_id, "tea", "food", 2, "12.5000", False) for order_id in ("o1", None)
        ]
    }
    bought = [order("a", n, START + timedelta(hours=n)) for n in (1, 2, 3)]
    journal.append(database, [*bought, Message("r", later, "a", rows=text)], compacted_seq=0)
    for _ in range(2):  # however often it is looked for
        write_lines(home, [("b", order("b", 9, START).rows["order_lines"][0])])
        refunds = lake.read(home, lake.connect()).refunds.to_pandas()
        assert sorted(zip(refunds["order_id"], refunds["matched"], strict=True)) == [
            ("o1", True),
            ("o3", True),
        ]


def test_a_simulation_that_goes_on_keeps_what_arrived(shop_copy: Home, plan: Plan):
    now = shop_copy.shop().now()
    database, later = Database(shop_copy), now + timedelta(days=30)
    longer = Home(shop_copy.path.with_name("longer"))
    simulated_shop.write(longer, plan, later, silent)
    expected = seen(longer)
    journal.append(database, [order("C000001", 1, now), order("newcomer", 2, now)], compacted_seq=0)
    simulated_shop.write(shop_copy, plan, later, silent, add=True)
    ids = [Identity(home).table() for home in (longer, shop_copy)]
    names = [
        dict(zip(*(t[c].to_pylist() for c in ("customer_key", "customer_id")), strict=True)) for t in ids
    ]
    by_name = [
        {n: Counter({(names[i][int(k)], *r): c for (k, *r), c in part.items()}) for n, part in s.items()}
        for i, s in enumerate((expected, seen(shop_copy)))
    ]
    for name in SCHEMAS:
        more = by_name[1][name] - by_name[0][name]
        assert by_name[0][name] <= by_name[1][name]
        assert sorted(row[0] for row in more) == ([] if name == "refunds" else ["C000001", "newcomer"])


def test_replacing_a_shop_forgets_what_arrived_and_says_how_much(home: Home, monkeypatch: pytest.MonkeyPatch):
    database = Database(home)
    journal.append(database, [order("a", 1, START), order("b", 2, START)], compacted_seq=0)
    journal.append(database, [Message("m3", START, "b", joins="a")], compacted_seq=0)
    with pytest.raises(PatronError, match="--replace to simulate over it and forget the 3 messages"):
        simulated_shop.simulate_shop(home, 20, 1, 0.5)
    assert sum(seen(home)["order_lines"].values()) == 3
    done = simulated_shop.simulate_shop(home, 20, 1, 0.5, replace=True)
    assert done["messages_forgotten"] == 3
    assert Identity(home).keys(["a", "b"]) == {}
    assert (Identity(home).merges(), journal.arrived(database)) == ([], 0)
    assert set(Identity(home).table()["customer_key"].to_pylist()).isdisjoint({1, 2})
    assert all(int(row[0]) > 2 for row in seen(home)["order_lines"])
    # The numbers go on, and what comes again counts again.
    assert journal.append(database, [order("a", 1, START)], compacted_seq=0).new == 1
    assert journal.last(database) == 4
    assert sum(row[4] == "o1" for row in seen(home)["order_lines"]) == 1


COMPACTING = """
import sys
from pathlib import Path
from events.lake import compaction as compact
from core.storage.database import Database
from core.home import Home
home = Home(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    sys.stdin.readline()
    compact.compact(home, Database(home))
    print("done", flush=True)
"""


def test_a_killed_compaction_loses_and_doubles_nothing(home: Home):
    database, rng = Database(home), random.Random(7)
    for round_ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", COMPACTING, str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=Path(__file__).parents[2],
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for n in range(10 * round_, 10 * round_ + 10):
                journal.append(database, [order(f"c{n}", n, START)], compacted_seq=0)
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(rng.random() * 0.3)  # wherever that is: nothing below depends on it
            process.send_signal(signal.SIGKILL)
        assert sum(seen(home)["order_lines"].values()) == 10 * (round_ + 1)
        assert set(seen(home)["order_lines"].values()) == {1}
    compact.compact(home, database)
    assert sum(seen(home)["order_lines"].values()) == 40
    assert len(list(home.events.glob("v*"))) <= 3
