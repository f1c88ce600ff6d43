"""The live path: online rows are what the definitions give, whatever arrives and in whatever order."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.harness import servers
from core import child_process
from core.calendar import day_of, micros, moment
from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal, lake
from events.identity import Identity
from events.journal import Message
from events.lake import shops, versions
from events.lake.buckets import History
from events.lake.compaction import compact
from events.schema import POPULATION, STORED, Events
from features.group import compute
from features.groups import FEATURES
from features.live import compiled
from features.live.progress import Lag, Watermark, lag
from features.live.recompute import LiveUpdater
from features.live.refresher import Refresher, refresh_once
from features.offline import boundaries
from features.offline import build as builds
from features.offline.populations import everyone
from features.text import opinions
from features.text.classifier import TextClassifier

ZONE = "Europe/Berlin"
BEGIN = datetime(2026, 3, 2, 10, 0, 0, 500_000, tzinfo=UTC)

ARRIVING = 900  # customers, enough for a kill while they are computed


@dataclass
class Wall:
    """A clock that is set by hand."""

    at: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.at

    def on(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Done:
    """Work that was done while it was begun."""

    ended: int = 0

    def poll(self) -> int:
        return self.ended


def at_once(home: Home, task: str) -> Done:
    if task == "build":
        builds.build(home, monthly=False)
    else:
        compact(home, Database(home))
    return Done()


@pytest.fixture(scope="session")
def empty_live(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop without events whose catalogue is made, as a refresher leaves it after its start."""
    home = Home(tmp_path_factory.mktemp("empty") / "home", wall=Wall())
    shops.begin_live(home, ZONE, "EUR")
    builds.build(home, monthly=False)
    return home


@dataclass
class World:
    """A live shop of a test's own, and those who tell it of events."""

    home: Home
    wall: Wall
    sent: list[Message] = field(default_factory=list)

    @classmethod
    def copy(cls, home: Home, folder: Path, at: datetime = BEGIN) -> World:
        wall = Wall(at)
        return cls(Home(Path(shutil.copytree(home.path, folder)), wall=wall), wall)

    def tell(self, customer: str, *, joins: str | None = None, name: str = "", **rows: Sequence[Any]) -> None:
        message = Message(name or f"m{len(self.sent)}", self.wall.at, customer, joins, rows)
        self.sent.append(message)
        journal.append(self.database, [message], compacted_seq=0)

    def line(
        self, order: str, ago: timedelta = timedelta(0), amount: str = "10.1000", category: str = "a"
    ) -> Any:
        at, received = micros(self.wall.at - ago), micros(self.wall.at)
        return [at, received, self._day(ago), order, "p1", category, 2, amount, "1.0000"]

    def trait(self, value: str, ago: timedelta = timedelta(0)) -> Any:
        return [micros(self.wall.at - ago), micros(self.wall.at), self._day(ago), "country", value]

    def review(self, customer: str, text: str) -> None:
        now = micros(self.wall.at)
        text_value = json.dumps({"rating": 3, "review_body": text})
        row = [
            now,
            now,
            self._day(timedelta(0)),
            12,
            "Product Reviewed",
            "reviewed",
            "web",
            None,
            "p1",
            "a",
            None,
            text_value,
        ]
        self.tell(customer, activities=[row])

    def order(self, customer: str, order: str, **given: Any) -> None:
        self.tell(customer, order_lines=[self.line(order, **given)])

    def _day(self, ago: timedelta) -> int:
        return day_of(self.wall.at - ago, ZONE)

    @property
    def database(self) -> Database:
        return Database(self.home)

    def key(self, customer: str) -> int:
        return Identity(self.home).keys([customer])[customer]

    def online(self) -> dict[int, tuple[datetime, dict[str, Any]]]:
        """Every online row: its moment and features, by customer."""
        store = LiveUpdater(self.home).store
        keys = sorted(store.online.keys())
        rows = store.reader([*FEATURES])(keys)
        result = {}
        for i, key in enumerate(keys):
            as_of = rows.as_of[i]
            assert as_of is not None
            result[key] = as_of, {name: rows.values[name][i] for name in FEATURES}
        return result

    def check(self) -> int:
        """Hold every online row against the definitions over all events as of its moment; how many."""
        result = self.online()
        assert result == rebuilt(self.home, {key: as_of for key, (as_of, _) in result.items()})
        backend = lake.connect()
        known = everyone(lake.read(self.home, backend), self.wall.at + timedelta(seconds=1), ZONE)
        assert set(result) == set(backend.to_pyarrow(known)["customer_key"].to_pylist())
        return len(result)


@cache
def whole_sql() -> str:
    population = ibis.table(POPULATION, name="population")
    versions = {name: ibis.table(STORED[name], name=name) for name in ("order_lines", "refunds")}
    events = replace(Events.unbound(), **versions, replaced_lines=None)
    return str(ibis.to_sql(compute(events, population, [*FEATURES.values()]), dialect="duckdb"))


def rebuilt(home: Home, moments: dict[int, datetime]) -> dict[int, tuple[datetime, dict[str, Any]]]:
    """What all features are over lake and journal, of customers each as of a moment of their own."""
    backend, connection = lake.connect(), compiled.open_connection()
    events = boundaries.load_events(FEATURES.values(), home, backend, sorted(set(moments.values())))
    for name, table in [*events.items(), ("opinions", events.opinions), ("boundaries", events.boundaries)]:
        connection.register(name, backend.to_pyarrow(table))
    rows = [(key, at.replace(tzinfo=None), day_of(at, ZONE)) for key, at in moments.items()]
    population = ibis.memtable(rows, schema=POPULATION)
    connection.register("population", backend.to_pyarrow(population))
    actual = connection.execute(whole_sql()).to_arrow_table().to_pylist()
    return {
        row["customer_key"]: (row["as_of"].replace(tzinfo=UTC), {name: row[name] for name in FEATURES})
        for row in actual
    }


@pytest.fixture
def world(empty_live: Home, tmp_path: Path) -> World:
    return World.copy(empty_live, tmp_path / "home")


# What happens: messages about few customers, some late, some told again, merges, compactions, cycles.
customers = st.sampled_from(["A", "B", "C", "anonymous:x", "anonymous:y"])
late = st.sampled_from([0, 0, 0, 1, 3600, 86_400, 40 * 86_400, 400 * 86_400]).map(
    lambda s: timedelta(seconds=s)
)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("order"), customers, st.sampled_from("123"), late, st.sampled_from(["3.3300", "9.9900"])
        ),
        st.tuples(st.just("trait"), customers, st.sampled_from(["DE", "FR"]), late),
        st.tuples(st.just("refund"), customers, st.sampled_from("123"), late),
        st.tuples(st.just("join"), customers, customers),
        st.tuples(st.just("again"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 1, 3600, 3 * 86_400])),
        st.tuples(st.just("catch up")),
        st.tuples(st.just("compact")),
    ),
    max_size=25,
)


# Not shrunk, since an example takes a second.
@settings(max_examples=12, phases=(Phase.explicit, Phase.generate))
@given(steps)
def test_rows_are_what_the_definitions_give(empty_live: Home, steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder:
        world = World.copy(empty_live, Path(folder) / "home")
        path = LiveUpdater(world.home)
        for step in steps:
            match step:
                case "order", customer, order, ago, amount:
                    world.order(customer, f"{customer}{order}", ago=ago, amount=amount, category=order)
                case "trait", customer, value, ago:
                    world.tell(customer, traits=[world.trait(value, ago)])
                case "refund", customer, order, ago:
                    at, received = micros(world.wall.at - ago), micros(world.wall.at)
                    row = [
                        at,
                        received,
                        world._day(ago),
                        f"{customer}{order}",
                        "p1",
                        order,
                        1,
                        "2.0000",
                        True,
                    ]
                    world.tell(customer, refunds=[row])
                case "join", earlier, later:
                    world.tell(later, joins=earlier)
                case "again", n if world.sent:
                    journal.append(world.database, [world.sent[n % len(world.sent)]], compacted_seq=0)
                case "wait", seconds:
                    world.wall.on(seconds=seconds)
                case ("catch up",):
                    path.catch_up()
                case ("compact",) if path.mark.done >= lake.current(world.home).compacted_seq:
                    compact(world.home, world.database)  # as the refresher does
        path.catch_up()
        if boundaries.missing(world.home, world.wall.at):  # a build is due then, which computes all rows
            boundaries.load_events(FEATURES.values(), world.home, lake.connect(), [world.wall.at])
            path.catch_up()
            as_of = moment(path.mark.as_of_us)
            path._divide(as_of)
            path.cycle([*world.online()], as_of)
        world.check()


def test_the_first_events_of_an_empty_shop_end_in_rows(tmp_path: Path) -> None:
    wall = Wall()
    world = World(Home(tmp_path / "home", wall=wall), wall)
    shops.begin_live(world.home, ZONE, "EUR")
    world.order("A", "1")
    world.tell("B", traits=[world.trait("DE")])
    assert refresh_once(world.home, at_once) == 2
    assert world.check() == 2
    assert world.online()[world.key("A")][1]["orders_total"] == 1
    assert lag(world.home, world.database) == Lag(0, 0.0)


def test_a_shop_without_events_is_served_and_says_that_it_is_not_ready(
    tmp_path: Path, answering: Callable[..., Any], refused: Callable[..., None]
) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, ZONE, "EUR")
    with answering(home) as get:
        assert get("/healthz").status_code == 200
        for query in ("", "?for=scores"):
            ready = get(f"/readyz{query}")
            assert ready.status_code == 503
            assert "no features were built" in " ".join(ready.json()["reasons"])
        ready = get("/readyz?for=events")
        assert (ready.status_code, ready.json()["reasons"]) == (200, [])
        refused(get("/readyz?for=coffee"), "query.for", 422)
        refused(get("/v1/segments"), "run `patron build`", 503)
        world = World(home, Wall(datetime.now(UTC)))
        world.order("A", "1")
        assert "patron_live_lag_messages 1.0" in get("/metrics").text
        refused(get("/v1/customers/A"), "no features were built", 503)
        refresh_once(home, at_once)
        assert get("/v1/customers/A").json()["facts"]["purchases"]["orders_total"]["value"] == 1
        assert "patron_live_lag_messages 0.0" in get("/metrics").text


def test_lag_counts_what_rows_do_not_know(world: World) -> None:
    world.order("A", "1")
    world.wall.on(seconds=7)
    world.order("A", "2")
    assert lag(world.home, world.database) == Lag(2, 7.0)
    LiveUpdater(world.home).catch_up()
    assert lag(world.home, world.database) == Lag(0, 0.0)


def test_who_turns_out_to_be_another_vanishes_and_their_events_count_there(world: World) -> None:
    path = LiveUpdater(world.home)
    world.order("anonymous:x", "1")
    world.tell("B", traits=[world.trait("DE")])
    path.catch_up()
    gone = world.key("anonymous:x")
    assert gone in world.online()
    world.wall.on(days=2)
    world.tell("B", joins="anonymous:x")
    path.catch_up()
    assert [*world.online()] == [world.key("B")]
    assert world.online()[world.key("B")][1]["orders_total"] == 1
    assert world.check() == 1


def test_a_build_that_began_before_undoes_no_news(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = LiveUpdater(world.home)
    for customer in ("A", "anonymous:x"):
        world.order(customer, f"{customer}1")
    path.catch_up()
    gone = world.key("anonymous:x")

    def meanwhile(home: Home, *given: Any) -> Any:
        built = compute_all(home, *given)
        world.wall.on(seconds=90)
        world.order("A", "A2")
        world.order("new", "n1")
        world.tell("A", joins="anonymous:x")
        path.catch_up()
        world.wall.on(seconds=1)
        return built

    compute_all = builds.snapshots.build
    monkeypatch.setattr(builds.snapshots, "build", meanwhile)
    world.wall.on(days=1)
    builds.build(world.home, monthly=False)
    result = world.online()
    assert gone not in result
    assert result[world.key("A")][1]["orders_total"] == 3
    assert world.check() == 2


def test_a_clock_that_is_set_back_hides_nothing(world: World) -> None:
    path = LiveUpdater(world.home)
    world.order("A", "1")
    path.catch_up()
    world.wall.on(seconds=-30)
    world.order("A", "2")
    path.catch_up()
    LiveUpdater(world.home).catch_up()
    assert world.online()[world.key("A")][1]["orders_total"] == 2
    world.wall.on(seconds=31)
    world.check()


def test_whom_the_journal_has_forgotten_before_they_were_computed_are_computed_by_a_build(
    world: World,
) -> None:
    tasks: list[str] = []

    def begin(home: Home, task: str) -> Done:
        tasks.append(task)
        return at_once(home, task)

    world.order("A", "1")
    for _ in range(2):
        world.wall.on(seconds=2)
        compact(world.home, world.database)
        world.order("B", "2")
    world.wall.on(seconds=2)
    refresh_once(world.home, begin)
    assert tasks == ["build"]
    assert world.check() == 2


def test_messages_move_into_the_lake_when_there_are_many_or_they_are_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_COMPACT_AFTER", "2")
    refreshed = Refresher(world.home, at_once)

    def moved() -> int:
        world.wall.on(seconds=100)
        while refreshed.tick():
            pass
        return lake.current(world.home).compacted_seq

    for n in range(2):
        world.order("A", f"{n}")
    assert moved() == 0
    world.order("A", "2")
    assert moved() == 3
    world.order("A", "3")
    assert moved() == 3
    world.wall.on(hours=2)
    assert moved() == 4
    assert world.check() == 1


def test_days_of_silence_change_rows_as_they_change_features(built_shop: Home, tmp_path: Path) -> None:
    world = World.copy(built_shop, tmp_path / "home", built_shop.shop().now())
    shop = world.home.shop()
    world.home.write_shop(Shop(shop.source, shop.time_zone, shop.currency, Clock()))
    refreshed = Refresher(world.home, at_once)
    assert not refreshed.tick()
    before = world.online()
    world.wall.on(days=40)
    world.order("C000001", "news")
    while refreshed.tick():  # the news at once, everyone beside, and the news again by the new boundaries
        world.wall.on(seconds=1)
    after = world.online()
    assert set(after) == set(before)
    recent = (
        sum(row["orders_90d"] for _, row in before.values()),
        sum(row["orders_90d"] for _, row in after.values()),
    )
    assert recent[1] < recent[0]
    assert after[world.key("C000001")][0] > max(as_of for as_of, _ in before.values()) + timedelta(days=40)
    assert after == rebuilt(world.home, {key: as_of for key, (as_of, _) in after.items()})


def test_texts_are_read_as_in_builds_and_by_another_classifier_once_that_is_promoted(
    world: World, taught: Callable[..., TextClassifier]
) -> None:
    good, bad = ("fine", "lovely", "质量很好", "很满意"), ("poor", "awful", "质量太差", "很失望")

    def promote(kind: Sequence[str], other: Sequence[str]) -> None:
        opinions.install(world.home, taught(kind, other).to_files())

    def content() -> dict[int, float]:
        return {key: round(row["last_text_content"]) for key, (_, row) in world.online().items()}

    promote(good, bad)
    refreshed = Refresher(world.home, at_once)
    world.review("A", "fine quality")
    world.review("B", "质量太差")
    while refreshed.tick():
        world.wall.on(seconds=90)
    assert world.check() == 2
    assert content() == {world.key("A"): 1, world.key("B"): 0}
    promote(bad, good)
    while refreshed.tick():
        world.wall.on(seconds=90)
    assert content() == {world.key("A"): 0, world.key("B"): 1}
    world.review("A", "poor")
    while refreshed.tick():
        world.wall.on(seconds=90)
    assert world.check() == 2
    assert content() == {world.key("A"): 1, world.key("B"): 1}


def test_a_shop_that_stands_still_has_no_news(built_shop: Home) -> None:
    assert not Refresher(built_shop, at_once).tick()


def test_a_customer_whose_events_cannot_be_computed_stops_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = LiveUpdater(world.home)
    for customer in "ABCDE":
        world.order(customer, customer)
    bad, cycle = world.key("C"), LiveUpdater.cycle

    def failing(self: LiveUpdater, keys: Sequence[int], as_of: datetime) -> None:
        if bad in keys:
            raise ValueError("C")
        cycle(self, keys, as_of)

    monkeypatch.setattr(LiveUpdater, "cycle", failing)
    assert path.catch_up() == 5
    assert {*world.online()} == {world.key(customer) for customer in "ABDE"}
    assert [record.getMessage() for record in caplog.records] == [
        "the features of a customer cannot be computed: ValueError"
    ]


def test_a_store_that_is_away_is_tried_again_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = LiveUpdater(world.home)
    world.order("A", "1")

    def away(*_: Any) -> None:
        raise PatronError("the store is away")

    with monkeypatch.context() as broken:
        broken.setattr(path.store, "write_online", away)
        with pytest.raises(PatronError, match="away"):
            path.catch_up()
    assert Watermark.read(world.home).done == 0
    assert path.catch_up() == 1
    assert world.check() == 1


def test_memory_holds_few_row_groups_and_versions_change_them(world: World) -> None:
    for n in range(20):
        world.order(f"c{n}", f"{n}")
    compact(world.home, world.database)
    keys = [world.key(f"c{n}") for n in range(20)]
    wide, narrow = History(world.home, world.database), History(world.home, world.database, most_bytes=1)
    first = wide.of(keys)
    assert first["order_lines"].num_rows == 20
    assert narrow.of(keys) == first
    world.order("c3", "again")
    compact(world.home, world.database)
    stored = dict(wide._groups)
    again = wide.of(keys)
    changed = {place for place, group in wide._groups.items() if group is not stored[place]}
    assert changed == {("order_lines", world.key("c3") % lake.BUCKETS, 0)}
    assert again["order_lines"].num_rows == 21
    assert narrow.of(keys) == again
    assert sum(group.bytes > 0 for group in narrow._groups.values()) <= 1


def test_only_the_row_groups_of_a_customer_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "ROW_GROUP_ROWS", 2048)  # DuckDB's least
    for n in range(lake.BUCKETS + 1):
        world.order(f"c{n}", f"{n}")
    first, second = "c0", f"c{lake.BUCKETS}"  # of one bucket
    for customer in (first, second):
        world.tell(customer, traits=[world.trait(f"{customer} {n}") for n in range(3000)])
    compact(world.home, world.database)
    bucket = world.key(first) % lake.BUCKETS
    assert world.key(second) % lake.BUCKETS == bucket
    for customer, groups in ((first, [0, 1]), (second, [1, 2])):
        history = History(world.home, world.database)
        values = history.of([world.key(customer)])["traits"]["value"].to_pylist()
        assert sorted(values) == sorted(f"{customer} {n}" for n in range(3000))
        assert [group for name, _, group in history._groups if name == "traits"] == groups


@pytest.mark.slow
def test_of_two_refreshers_one_works_and_killed_the_other_takes_over(
    empty_live: Home, tmp_path: Path
) -> None:
    home = Home(Path(shutil.copytree(empty_live.path, tmp_path / "home")))  # these live by the wall clock
    world = World(home, Wall())
    works = [child_process.start(home, "refresh") for _ in range(2)]
    try:
        for n in range(ARRIVING):
            world.wall.at = datetime.now(UTC)
            world.sent.append(
                Message(f"m{n}", world.wall.at, f"c{n}", rows={"order_lines": [world.line(f"{n}")]})
            )
        first = servers.wait_until(lambda: _holder(home))
        assert first in {work.pid for work in works}
        journal.append(world.database, world.sent, compacted_seq=0)
        # In the middle of its work, or just after it.
        servers.wait_until(lambda: Watermark.read(home).as_of_us > 0)
        os.kill(first, signal.SIGKILL)
        servers.wait_until(lambda: _holder(home) not in (None, first))
        servers.wait_until(lambda: Watermark.read(home).done == len(world.sent))
        world.wall.at = datetime.now(UTC)
        assert world.check() == len(world.sent)
    finally:
        ended = [work.stop() for work in works]
    assert sorted(ended) == [-signal.SIGKILL, 0]


def _holder(home: Home) -> int | None:
    """The process that refreshes a home, once there is one."""
    lock = home.path / "refresher.lock"
    return int(lock.read_text()) if lock.exists() and lock.read_text() else None
