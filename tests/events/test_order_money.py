"""One order has one money: whatever arrives of it, in whatever order, live and from files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from commands.shop import _accounts
from core.calendar import day_of
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal, lake
from events.files.imports import import_file
from events.identity import Identity
from events.journal import Message
from events.lake import compaction, order_facts, shops
from events.lake.buckets import History
from events.lake.order_facts import LineFact, RefundFact, limit_versions
from events.lake.order_versions import resolve
from events.queries.merchandise import merchandise
from events.queries.timeline import Timeline
from events.schema import POPULATION, visible
from events.segment.translate import Place, translate
from features.groups.profile import known_days, profile
from features.live import compiled
from features.live.recompute import valid_at
from models.products.purchases import read
from serving.operations import checks

ZONE = "Europe/Berlin"
PLACE = Place(ZONE, "EUR")
START = datetime(2024, 3, 1, tzinfo=UTC)
CASES = Path(__file__).parents[2].parent / "shared" / "cases"
Money = tuple[int, Decimal, Decimal]
"""Orders, what they brought, and what was given back."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    shops.begin_live(home, ZONE, "EUR")
    return home


def post(home: Home, body: dict[str, Any], at: datetime, kind: str = "track") -> None:
    database = Database(home)
    message = translate({"type": kind, "userId": "c1"} | body, at, PLACE)
    seq = lake.metadata(home).compacted_seq
    if isinstance(message, Message):
        journal.append(database, [message], compacted_seq=seq)
    else:
        journal.append(database, [], [message], compacted_seq=seq)
    database.close()


def offline(home: Home, as_of: datetime, customer: str = "c1") -> Money:
    """By the tables that features are computed from."""
    key = Identity(home).keys([customer]).get(customer, 0)
    events = lake.read(home, lake.connect())
    day = pa.array([day_of(as_of, ZONE)], pa.int32())
    moment = pa.array([as_of.replace(tzinfo=None)], pa.timestamp("us"))
    population = ibis.memtable(pa.table({"customer_key": [key], "as_of": moment, "as_of_day": day}))
    tables = (visible(table, population).to_pyarrow() for table in (events.order_lines, events.refunds))
    return counted(*tables)


def online(home: Home, as_of: datetime, customer: str = "c1") -> Money:
    """By the tables that the live path computes from."""
    database = Database(home)
    key = Identity(home).keys([customer]).get(customer, 0)
    tables = History(home, database).of([key])
    database.close()
    at = as_of.replace(tzinfo=None)
    tables = valid_at(tables, as_of)
    valid = (tables[name].to_pylist() for name in ("order_lines", "refunds"))
    rows = [[r for r in part if r["timestamp"] < at and r["received_at"] <= at] for part in valid]
    return money(*rows)


def days_known(home: Home, as_of: datetime) -> tuple[int | None, int | None]:
    """``known_days`` of the customer, by the definition over the lake and as the live path computes it."""
    (key,) = Identity(home).keys(["c1"]).values()
    row = [key, as_of.replace(tzinfo=None), day_of(as_of, ZONE)]
    population = pa.table([[value] for value in row], schema=ibis.schema(POPULATION).to_pyarrow())
    events = lake.read(home, lake.connect())
    by_definition = profile.compute(events, ibis.memtable(population), [known_days]).to_pyarrow()
    database = Database(home)
    tables = valid_at(History(home, database).of([key]), as_of)
    database.close()
    live = compiled.run(compiled.open_connection(), compiled.compile_groups((profile,)), tables, population)[
        "profile"
    ]
    return by_definition["known_days"][0].as_py(), live["known_days"][0].as_py()


def counted(lines: pa.Table, refunds: pa.Table) -> Money:
    return money(lines.to_pylist(), refunds.to_pylist())


def money(lines: list[dict[str, Any]], refunds: list[dict[str, Any]]) -> Money:
    paid, back = (sum((row["amount"] for row in rows), Decimal(0)) for rows in (lines, refunds))
    return len({row["order_id"] for row in lines}), paid, back


def by_timeline(home: Home, as_of: datetime) -> Money:
    key = Identity(home).keys(["c1"]).get("c1", 0)
    page = Timeline(home).page(key, as_of, 1000, kinds=("order", "refund"))
    amounts = [
        sum((Decimal(str(e.details["amount"])) for e in page.events if e.position.kind == kind), Decimal(0))
        for kind in ("order", "refund")
    ]
    return sum(e.position.kind == "order" for e in page.events), *amounts


def compact(home: Home) -> None:
    database = Database(home)
    compaction.compact(home, database)
    database.close()


# What is stated about one order, and what it comes to by an oracle


@dataclass(frozen=True)
class Fact:
    """An event about the order: ``kind`` and amount, or None; ``stated`` hours after the start."""

    kind: str
    amount: int | None
    stated: int


EVENTS = {
    "order": "Order Completed", "update": "Order Updated", "refund": "Order Refunded",
    "cancel": "Order Cancelled",
}  # fmt: skip


def oracle(facts: list[Fact]) -> Money:
    """The money of an order of which these facts are known."""
    orders = sorted((f for f in facts if f.kind == "order"), key=lambda f: f.stated)
    later = sorted(orders[1:] + [f for f in facts if f.kind == "update"],
                   key=lambda f: (f.stated, f.kind == "update"))  # fmt: skip
    versions = orders[:1] + later
    if not versions or any(f.kind == "cancel" for f in facts):
        return 0, Decimal(0), Decimal(0)
    paid = versions[-1].amount or 0
    given = [f.amount for f in facts if f.kind == "refund"]
    back = paid if None in given else min(paid, sum(amount or 0 for amount in given))
    return 1, Decimal(paid), Decimal(back)


def body(fact: Fact) -> dict[str, Any]:
    properties: dict[str, Any] = {"order_id": "o1"}
    if fact.amount is not None:
        properties["revenue" if fact.kind in ("order", "update") else "total"] = fact.amount
    stated = START + timedelta(hours=fact.stated)
    return {"event": EVENTS[fact.kind], "properties": properties, "timestamp": stated.isoformat()}


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    kinds = draw(st.lists(st.sampled_from(("order", "order", "update", "refund", "refund", "cancel")),
                          min_size=1, max_size=7))  # fmt: skip
    stated = draw(st.lists(st.integers(1, 99), min_size=len(kinds), max_size=len(kinds), unique=True))
    amounts = st.integers(1, 200)
    return [
        Fact(kind, draw(amounts if kind in ("order", "update") else amounts | st.none()), at)
        for kind, at in zip(kinds, stated, strict=True)
    ]


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=[*HealthCheck])
@given(histories(), st.integers(0, 7))
@example([Fact("order", 100, 1), Fact("update", 60, 2), Fact("refund", 80, 3), Fact("cancel", None, 4)], 2)
@example([Fact("refund", None, 3), Fact("order", 100, 1), Fact("order", 120, 2)], 1)
@example([Fact("order", 1, 2), Fact("order", 2, 1)], 0)
@example([Fact("order", 1, 2), Fact("order", 2, 1)], 1)
def test_any_order_of_arrival_ends_in_the_same_money(
    tmp_path_factory: pytest.TempPathFactory, facts: list[Fact], moved: int
) -> None:
    home = Home(tmp_path_factory.mktemp("order") / "home")
    shops.begin_live(home, ZONE, "EUR")
    expected = []
    for i, fact in enumerate(facts):
        if i == moved:
            compact(home)
        at = START + timedelta(days=10, hours=i)
        post(home, body(fact), at)
        expected.append((at + timedelta(minutes=1), oracle(facts[: i + 1])))
    now = expected[-1][0]
    assert online(home, now) == expected[-1][1]
    for when, right in expected:
        assert offline(home, when) == right
    compact(home)
    for when, right in expected:
        assert offline(home, when) == online(home, when) == by_timeline(home, when) == right


@given(histories(), st.randoms())
@settings(max_examples=200, deadline=None)
def test_the_money_of_an_order_is_that_of_the_oracle_at_every_moment(facts: list[Fact], random: Any) -> None:
    random.shuffle(facts)
    lines, refunds = stated_facts(facts)
    result = resolve(lines, refunds)
    for i in range(1, len(facts) + 1):
        at = START + timedelta(days=10, hours=i)
        valid = [
            [row for row in rows if row[2] <= at and (row[10] is None or row[10] > at)]
            for rows in (result.lines, result.refunds)
        ]
        assert money_of(*valid) == oracle(facts[:i])


def stated_facts(facts: list[Fact]) -> tuple[list[LineFact], list[RefundFact]]:
    """The facts in the order of their arrival, one each hour."""
    lines, refunds = [], []
    for i, fact in enumerate(facts, 1):
        at, stated = START + timedelta(days=10, hours=i), START + timedelta(hours=fact.stated)
        amount = None if fact.amount is None else Decimal(fact.amount)
        if fact.kind in ("order", "update"):
            lines.append(LineFact(1, stated, at, 0, "o1", None, None, 1, amount or Decimal(0), Decimal(0),
                              stated, i, fact.kind == "update"))  # fmt: skip
        else:
            refunds.append(RefundFact(1, stated, at, 0, "o1", None, None, 1, amount, True, i,
                                  fact.kind == "cancel"))  # fmt: skip
    return lines, refunds


def money_of(lines: list[tuple[Any, ...]], refunds: list[tuple[Any, ...]]) -> Money:
    paid, back = (sum((row[8] for row in rows), Decimal(0)) for rows in (lines, refunds))
    return len({row[4] for row in lines}), paid, back


# Bad input


def test_a_loop_of_corrections_and_refunds_takes_bounded_time() -> None:
    at = [START + timedelta(seconds=i) for i in range(100_000)]
    lines = [
        LineFact(1, t, t, 0, "o1", None, None, 1, Decimal(i % 7 + 1), Decimal(0), t, i, i > 0)
        for i, t in enumerate(at) if i % 2 == 0
    ]  # fmt: skip
    refunds = [
        RefundFact(1, t, t, 0, "o1", None, None, 1, Decimal(5), True, i, False)
        for i, t in enumerate(at) if i % 2
    ]  # fmt: skip
    result = resolve(lines, refunds)
    final = [[row for row in rows if row[10] is None] for rows in (result.lines, result.refunds)]
    assert money_of(*final)[1] == money_of(*final)[2] == lines[-1].amount
    assert result.surplus == 5 * len(refunds) - lines[-1].amount


@given(histories(), histories(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_versions_that_are_passed_over_do_not_change_what_the_order_comes_to(
    earlier: list[Fact], later: list[Fact], random: Any
) -> None:
    """With at most two versions kept, in one compaction or in two, in whatever order they arrived."""
    facts = [replace(fact, stated=i) for i, fact in enumerate(earlier + later)]
    random.shuffle(facts)
    lines, refunds = stated_facts(facts)
    known = START + timedelta(days=10, hours=len(earlier))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_facts, "MAX_VERSIONS", 1)
        first = limit_versions([line for line in lines if line.received_at <= known])
        limited = limit_versions(first + [line for line in lines if line.received_at > known])
    assert len(limited) <= 5
    for stored in (lines, limited):
        result = resolve(stored, refunds)
        valid = [[row for row in rows if row[10] is None] for rows in (result.lines, result.refunds)]
        assert money_of(*valid) == oracle(facts)
        if result.lines and not result.cancelled:
            assert {row[1] for row in valid[0]} == {min(line.timestamp for line in lines)}


def test_corrections_without_end_keep_an_order_small_through_compactions_and_imports(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_facts, "MAX_VERSIONS", 10)
    for start in range(0, 300, 100):
        for i in range(start, start + 100):
            post(home, body(Fact("update" if i else "order", i + 1, i)), START + timedelta(days=20, hours=i))
        compact(home)
        rows = lake.read(home, lake.connect()).order_lines.count().execute()
        assert rows <= 2 * 10 + 2
        now = START + timedelta(days=20, hours=start + 99, minutes=1)
        assert offline(home, now) == online(home, now) == by_timeline(home, now) == (1, start + 100, 0)
    assert offline(home, START + timedelta(days=20, hours=5, minutes=1)) == (1, 6, 0)
    imported(home, tmp_path, "monday", *MONDAY)
    assert lake.read(home, lake.connect()).order_lines.count().execute() <= 2 * 10 + 2 + len(MONDAY)
    assert offline(home, now) == (2, 350, 0)


def test_two_exports_of_an_order_of_many_lines_are_compared(tmp_path: Path) -> None:
    """A comparison of each line with each would take hours."""
    home = Home(tmp_path / "home")
    lines = [f"c1,2024-03-01,1,p{i},1,1.00" for i in range(20_000)]
    imported(home, tmp_path, "monday", *lines, "c2,2024-03-02,2,a,1,1.00")
    later = [*(line.replace("1.00", "2.00") for line in lines[:5]), *lines[5:]]
    done = imported(home, tmp_path, "friday", *later, "c2,2024-03-04,3,a,1,1.00")
    assert done["orders_corrected"] == 1
    assert offline(home, at_day(9)) == (1, 20_005, 0)


# Who is who


def test_a_refund_of_the_customer_finds_the_order_of_the_device(home: Home) -> None:
    def device(body: dict[str, Any], at: datetime) -> None:
        post(home, {"userId": None, "anonymousId": "d1"} | body, at)

    at = iter(START + timedelta(hours=i) for i in range(20))
    post(home, {"traits": {"a": 1}}, next(at), "identify")  # so that the device is merged
    device(body(Fact("order", 100, -5)), next(at))
    post(home, {"anonymousId": "d1"}, next(at), "identify")
    post(home, body(Fact("refund", 30, -3)), next(at))
    for _ in range(2):
        now = START + timedelta(days=2)
        assert offline(home, now) == online(home, now) == by_timeline(home, now) == (1, 100, 30)
        compact(home)
    post(home, body(Fact("order", 120, -2)), next(at))
    for _ in range(2):
        assert offline(home, now) == online(home, now) == by_timeline(home, now) == (1, 120, 30)
        compact(home)
    post(home, body(Fact("cancel", None, -1)), next(at))
    for _ in range(2):
        assert offline(home, now) == online(home, now) == by_timeline(home, now) == (0, 0, 0)
        compact(home)


def test_a_customer_whose_only_order_was_cancelled_is_known_since_that_order(home: Home) -> None:
    post(home, body(Fact("order", 100, 0)), START)
    post(home, body(Fact("cancel", None, 1)), START + timedelta(hours=1))
    for _ in range(2):
        assert days_known(home, START + timedelta(minutes=1)) == (0, 0)  # before it was cancelled
        assert days_known(home, START + timedelta(days=40)) == (40, 40)
        compact(home)


# Products


def test_products_without_a_price_take_the_orders_and_a_cancellation_of_some_is_a_refund(home: Home) -> None:
    products = [{"product_id": "a", "price": 10, "quantity": 3}, {"product_id": "b", "price": 5}]
    at = iter(START + timedelta(hours=i) for i in range(20))
    post(home, {"event": "Order Completed", "properties": {"order_id": "o1", "products": products}}, next(at))
    some = {"order_id": "o1", "products": [{"product_id": "a", "quantity": 2}]}
    post(home, {"event": "Order Refunded", "properties": some}, next(at))
    now = START + timedelta(days=2)
    assert offline(home, now) == (1, 35, 20)
    some = {"order_id": "o1", "products": [{"product_id": "b", "price": 5}]}
    post(home, {"event": "Order Cancelled", "properties": some}, next(at))
    assert offline(home, now) == (1, 35, 25)
    some = {"order_id": "o1", "products": [{"product_id": "a", "quantity": 3}]}
    post(home, {"event": "Order Cancelled", "properties": some}, next(at))
    assert offline(home, now) == online(home, now) == (0, 0, 0)


def test_rankings_learn_from_the_version_of_the_moment(home: Home) -> None:
    versions = [
        ("Order Completed", [{"product_id": "a", "price": 5}, {"product_id": "b", "price": 5}]),
        ("Order Updated", [{"product_id": "b", "price": 5}, {"product_id": "c", "price": 5}]),
        ("Order Cancelled", []),
    ]
    post(home, {"event": "Order Completed", "properties": {"order_id": "o2", "products": [
        {"product_id": "d", "price": 5}]}}, START)  # fmt: skip
    for day, (event, products) in enumerate(versions, 1):
        properties = {"order_id": "o1"} | ({"products": products} if products else {})
        post(home, {"event": event, "properties": properties}, START + timedelta(days=day))
    for _ in range(2):
        goods = merchandise(home)
        whole = read(goods.order_lines, goods.as_of, goods.time_zone)
        seen = []
        for day in range(4):
            then = whole.known_at(START + timedelta(days=day, hours=1))
            seen.append({whole.product_ids[place] for place in then.product})
        assert seen == [{"d"}, {"a", "b", "d"}, {"b", "c", "d"}, {"d"}]
        assert whole.latest().product_ids == ("d",)
        compact(home)


# Files

MAPPING = """
[shop]
time_zone = "Europe/Berlin"
currency = "EUR"
[orders]
customer = "customer"
time = "date"
order = "order"
product = "item"
quantity = "qty"
amount = "amount"
"""


def imported(home: Home, tmp_path: Path, name: str, *rows: str) -> dict[str, Any]:
    (tmp_path / "items.toml").write_text(MAPPING)
    path = tmp_path / f"{name}.csv"
    path.write_text("\n".join(["customer,date,order,item,qty,amount", *rows]) + "\n")
    return import_file(home, str(path), str(tmp_path / "items.toml"))


def at_day(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


MONDAY = ("c1,2024-03-01,1,socks,1,50.00", "c2,2024-03-02,2,hat,1,20.00")


def test_a_later_files_version_of_an_order_replaces_the_earlier_one(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    imported(home, tmp_path, "monday", *MONDAY)
    result = imported(home, tmp_path, "friday", "c1,2024-03-01,1,socks,1,45.00", MONDAY[1],
                      "c2,2024-03-05,3,tie,1,5.00")  # fmt: skip
    assert (result["orders_corrected"], result["orders"], result["changed"]) == (1, 3, True)
    assert offline(home, at_day(4)) == (1, 50, 0)  # what the second file could tell was not known yet
    assert offline(home, at_day(6)) == online(home, at_day(6)) == by_timeline(home, at_day(6)) == (1, 45, 0)
    again = imported(
        home, tmp_path, "saturday", "c1,2024-03-01,1,socks,1,45.00", "c1,2024-03-06,4,cap,1,1.00"
    )
    assert "orders_corrected" not in again
    assert offline(home, at_day(7)) == (2, 46, 0)
    back = imported(home, tmp_path, "sunday", "c1,2024-03-01,1,socks,1,50.00", "c1,2024-03-07,5,cap,1,1.00")
    assert back["orders_corrected"] == 1
    assert offline(home, at_day(8)) == (3, 52, 0)
    assert offline(home, at_day(6)) == (2, 46, 0)


@pytest.mark.parametrize("parts", list(permutations(((0, 3), (2, 5), (4, 7)))))
def test_an_order_cut_in_two_by_the_files_boundary_loses_no_line(
    tmp_path: Path, parts: tuple[tuple[int, int], ...]
) -> None:
    rows = [
        "c1,2024-03-01,1,a,1,1.00", "c1,2024-03-02,2,b,1,2.00", "c1,2024-03-02,2,c,1,4.00",
        "c1,2024-03-02,2,d,1,8.00", "c1,2024-03-03,3,e,1,16.00", "c1,2024-03-03,3,f,1,32.00",
        "c1,2024-03-03,3,f,2,64.00",
    ]  # fmt: skip
    home = Home(tmp_path / "home")
    for start, end in parts:
        imported(home, tmp_path, f"part{start}", *rows[start:end])
    assert offline(home, at_day(9)) == (3, 127, 0)


def test_a_line_that_a_later_export_does_not_have_is_gone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    imported(home, tmp_path, "monday", "c1,2024-03-01,1,a,1,1.00", "c1,2024-03-01,1,b,1,2.00",
             "c1,2024-03-02,2,c,1,4.00")  # fmt: skip
    imported(home, tmp_path, "friday", "c1,2024-03-01,1,b,1,2.00", "c1,2024-03-02,2,c,1,4.00",
             "c1,2024-03-04,3,c,1,8.00")  # fmt: skip
    assert offline(home, at_day(9)) == (3, 14, 0)


def test_events_and_files_state_versions_of_one_order(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    imported(home, tmp_path, "monday", *MONDAY)
    home.write_shop(Shop("mapping", ZONE, "EUR", Clock(), home.tiers()))
    post(home, {"event": "Order Updated", "properties": {"order_id": "1", "revenue": 40}}, at_day(3))
    post(home, {"event": "Order Refunded", "properties": {"order_id": "1", "total": 50}}, at_day(4))
    for _ in range(2):
        assert offline(home, at_day(2)) == (1, 50, 0)
        assert offline(home, at_day(5)) == online(home, at_day(5)) == (1, 40, 40)
        compact(home)
    imported(home, tmp_path, "friday", "c1,2024-03-01,1,socks,1,45.00", "c2,2024-03-06,7,hat,1,1.00")
    assert offline(home, at_day(5)) == (1, 40, 40)
    assert offline(home, at_day(7)) == online(home, at_day(7)) == (1, 45, 45)
    post(home, {"event": "Order Cancelled", "properties": {"order_id": "1"}}, at_day(8))
    assert offline(home, at_day(9)) == online(home, at_day(9)) == (0, 0, 0)
    compact(home)
    imported(home, tmp_path, "sunday", "c2,2024-03-10,8,hat,1,1.00")
    assert offline(home, at_day(5)) == (1, 40, 40)
    assert offline(home, at_day(9)) == online(home, at_day(9)) == (0, 0, 0)


def test_an_import_shows_what_it_made_of_orders_that_were_there(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = imported(home, tmp_path, "monday", *MONDAY, "c2,2024-03-03,3,a,1,1.00")
    assert first["warnings"] == []
    second = imported(home, tmp_path, "friday", "c1,2024-03-01,1,socks,1,45.00", "c2,2024-03-03,3,b,1,2.00",
                      "c2,2024-03-05,4,tie,1,5.00", "c1,2024-03-06,1,socks,-1,-60.00")  # fmt: skip
    assert (second["orders_corrected"], second["orders_united"]) == (1, 1)
    assert (second["surplus_orders"], second["surplus"]) == (1, 15.0)
    assert [(w["code"], w["count"]) for w in second["warnings"]] == [
        ("orders_united", 1), ("refunds_beyond_orders", 1),
    ]  # fmt: skip
    shown = _accounts(second)
    assert "of note            1  orders corrected" in shown
    assert (
        "WARNING orders with other lines than imported before, of which the file may not have all: 1" in shown
    )
    assert "by 15.00 EUR together, which does not count" in shown
    third = imported(home, tmp_path, "sunday", "c2,2024-03-07,5,tie,1,5.00")
    assert third["warnings"] == []  # of the orders of this file
    (check,) = (check for check in checks.orders(home) if check.state == checks.WARNING)
    assert check.result.startswith("15.00 EUR of 1 orders were given back beyond what the orders brought")


def test_a_return_takes_back_the_order_that_it_names_whichever_file_has_it(tmp_path: Path) -> None:
    sales = ("c1,2024-03-01,1,socks,1,50.00", "c1,2024-03-02,2,socks,1,20.00", "c1,2024-03-03,3,tie,1,5.00")
    back = "c1,2024-03-05,1,socks,-1,-80.00"
    credit_note = "c1,2024-03-06,C9,tie,-1,-5.00"
    files = [sales, (back, credit_note)]
    for i, order in enumerate((files, files[::-1], [(*sales, back, credit_note)])):
        folder = tmp_path / str(i)
        folder.mkdir()
        home = Home(folder / "home")
        imported(home, folder, "start", "c2,2024-02-01,9,hat,1,1.00")
        for part in order:
            done = imported(home, folder, f"part{len(part)}", *part)
        assert offline(home, at_day(9)) == (3, 75, 55)
        assert (done["surplus_orders"], done["surplus"]) == (1, 30.0)


STEPS = (
    "order",
    "order again",
    "returns",
    "compact",
    "refund",
    "refund again",
    "rest",
    "cancel",
    "other file",
)
"""What may arrive of an order that a file states: files, events, compactions."""


@settings(max_examples=2, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.lists(st.sampled_from(STEPS), max_size=9), st.integers(0, 9), st.integers(1, 150), st.integers(1, 150)
)
@example(["refund", "returns", "compact", "order again"], 2, 30, 80)
@example(["returns", "cancel"], 1, 30, 80)
@example(["refund", "refund", "compact", "returns", "other file"], 3, 70, 70)
def test_files_and_events_in_any_order_end_in_the_same_money(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], place: int, refund: int, returned: int
) -> None:
    """The file of the order arrives somewhere among the other steps; nothing of it counts twice."""
    folder = tmp_path_factory.mktemp("mixed")
    home = Home(folder / "home")
    imported(home, folder, "start", "c2,2024-02-01,9,hat,1,1.00")
    home.write_shop(Shop("mapping", ZONE, "EUR", Clock(), home.tiers()))
    order = ("c1,2024-03-01,1,a,1,60.00", "c1,2024-03-01,1,b,1,40.00")
    files = {
        "order": (*order, "c2,2024-03-02,7,hat,1,1.00"),
        "order again": (*order, "c2,2024-03-03,8,hat,1,1.00"),
        "returns": (f"c1,2024-03-05,1,a,-1,-{returned}.00",),
        "other file": ("c2,2024-03-06,10,hat,1,1.00",),
    }  # fmt: skip
    events = {
        "refund": Fact("refund", refund, 101), "refund again": Fact("refund", refund, 101),
        "rest": Fact("refund", None, 102), "cancel": Fact("cancel", None, 103),
    }  # fmt: skip
    steps = [*steps[:place], "order", *steps[place:], "other file"]
    for i, step in enumerate(steps):
        at = START + timedelta(days=10, hours=i)
        if step in files:
            imported(home, folder, step, *files[step])
        elif step == "compact":
            compact(home)
        else:
            message = body(events[step])
            message["properties"]["order_id"] = "1"
            post(home, message, at)
    facts = {step: events[step] for step in steps if step in events}
    if "refund" in facts:
        facts.pop("refund again", None)  # a retry
    facts |= {"returns": Fact("refund", returned, 0)} if "returns" in steps else {}
    right = oracle([Fact("order", 100, 0), *facts.values()])
    now = START + timedelta(days=20)
    for _ in range(2):
        assert offline(home, now) == online(home, now) == by_timeline(home, now) == right
        compact(home)


# The shared cases


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not there")
def test_the_later_export_of_the_cases_corrects_the_earlier_one(tmp_path: Path) -> None:
    home, mapping = Home(tmp_path / "home"), str(CASES / "files" / "items.toml")
    import_file(home, str(CASES / "files" / "export_monday.csv"), mapping)
    done = import_file(home, str(CASES / "files" / "export_friday.csv"), mapping)
    assert done["orders_corrected"] == 1
    lines = lake.read(home, lake.connect()).order_lines.filter(lambda t: t.replaced_at.isnull()).to_pandas()
    assert Decimal(45) in set(lines["amount"])
    assert Decimal(50) not in set(lines["amount"])


def spent(orders: int, paid: str, back: str = "0") -> Money:
    return orders, Decimal(paid), Decimal(back)


RIGHT = {
    "order_twice_same_id_other_total": spent(1, "120"),
    "order_updated": spent(1, "60"),
    "refund_only_order_id_spec_full_refund": spent(1, "100", "100"),
    "cancel_only_order_id": spent(0, "0"),
    "refund_then_cancel": spent(0, "0"),
    "refund_more_than_paid": spent(1, "100", "100"),
    "order_empty_products_total": spent(1, "37"),
    "order_total_with_tax_and_shipping_only": spent(1, "37"),
    "refund_before_order": spent(1, "100", "30"),
    "spec_order_then_order_cancelled_same_props": spent(0, "0"),
    "spec_order_then_refund_total_and_partial_products": spent(1, "22.5", "19"),
    "partial_refund_products": spent(1, "35", "10"),
    "products_no_price_with_total": spent(1, "40"),
    "products_of_strings": spent(1, "10"),
    "order_without_id": spent(2, "6"),
    "products_vs_revenue_conflict": spent(1, "20"),
    "revenue_vs_total_vs_value": spent(1, "100"),
    "order_no_products_no_total": spent(0, "0"),
    "quantity_negative": spent(0, "0"),
    "price_negative": spent(0, "0"),
    "price_thousands_text": spent(0, "0"),
    "products_object_not_list": spent(0, "0"),
    "revenue_zero": spent(1, "0"),
}


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not there")
@pytest.mark.parametrize("name", sorted(RIGHT))
def test_a_case_comes_out_as_it_should(home: Home, name: str) -> None:
    calls = json.loads((CASES / "events" / f"{name}.json").read_text())
    for i, call in enumerate(calls):
        post(home, call["body"], START + timedelta(minutes=i), call["path"])
    customer, now = calls[0]["body"]["userId"], START + timedelta(days=1)
    assert offline(home, now, customer) == RIGHT[name]
    if Identity(home).keys([customer]):
        assert online(home, now, customer) == RIGHT[name]
    compact(home)
    assert offline(home, now, customer) == RIGHT[name]
