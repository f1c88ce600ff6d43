"""A customer's timeline: held against a plain read of the lake, and asked over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.home import Home
from core.progress import silent
from events import lake
from events.identity import Identity
from events.lake import versions
from events.queries.timeline import KINDS, Event, Position, Timeline
from events.simulation import simulated_shop
from events.simulation.simulate import Plan

Get = Callable[..., httpx.Response]
Plain = dict[int, list[dict[str, Any]]]

LINE = ["product_id", "category", "quantity", "amount"]


def numbered(lines: Any) -> list[dict[str, Any]]:
    """Lines with their numbers as floats."""
    return [{n: v if isinstance(v, str | None) else float(v) for n, v in line.items()} for line in lines]


def plain(home: Home, as_of: datetime) -> Plain:
    """Every customer's events as known at a moment, newest first, from a plain read of the whole lake."""
    events = lake.read(home, lake.connect()).known_at(as_of)
    result: Plain = {}

    def add(key: Any, kind: str, id: str, time: Any, **details: Any) -> None:
        moment = pd.Timestamp(time).to_pydatetime().replace(tzinfo=UTC)
        result.setdefault(int(key), []).append({"time": moment, "kind": kind, "id": id, **details})

    def lines(rows: pd.DataFrame, *more: str) -> list[dict[str, Any]]:
        return numbered(rows.sort_values(["timestamp", "product_id"])[[*LINE, *more]].to_dict("records"))

    for (key, order), rows in events.order_lines.to_pandas().groupby(["customer_key", "order_id"]):
        paid, off = float(rows["amount"].sum()), float(rows["discount"].sum())
        given_value = {"order_id": order, "amount": paid, "discount": off, "lines": lines(rows, "discount")}
        add(key, "order", order, rows["timestamp"].min(), **given_value)
    by = ["customer_key", "timestamp", "order_id"]
    for (key, time, order), rows in events.refunds.to_pandas().groupby(by, dropna=False):
        name = None if pd.isna(order) else order
        given_value = {"order_id": name, "amount": float(rows["amount"].sum()), "lines": lines(rows)}
        add(key, "refund", name or "", time, **given_value)
    for row in events.traits.to_pandas().itertuples():
        given_value = {"name": row.name, "value": row.value}
        add(row.customer_key, "trait", f"{row.name}={row.value}", row.timestamp, **given_value)
    columns = ["name", "kind", "channel", "reference", "product_id", "category", "amount", "properties"]
    same = ["customer_key", "timestamp", *columns]
    for row in events.activities.to_pandas()[same].drop_duplicates().itertuples(index=False):
        given_value = {name: None if pd.isna(getattr(row, name)) else getattr(row, name) for name in columns}
        text_value = [
            str(given_value[name]) if name == "amount" and given_value[name] else given_value[name]
            for name in columns[1:]
        ]
        about = json.dumps(text_value, separators=(",", ":"), ensure_ascii=False)
        id = f"{row.name} {hashlib.md5(about.encode()).hexdigest()}"
        given_value["activity"] = given_value.pop("kind")
        given_value["amount"] = given_value["amount"] and float(given_value["amount"])
        given_value["properties"] = json.loads(given_value["properties"] or "{}")
        add(row.customer_key, "activity", id, row.timestamp, **given_value)
    for given_value in result.values():
        given_value.sort(key=lambda e: (e["time"], e["kind"], e["id"]), reverse=True)
    return result


def flat(event: Event) -> dict[str, Any]:
    """An event as ``plain`` tells it."""
    lines = {"lines": numbered(event.details["lines"])} if "lines" in event.details else {}
    return {**event.position._asdict(), **event.details, **lines}


@pytest.fixture(scope="module")
def known(shop: Home) -> Callable[[datetime], Plain]:
    return cache(lambda as_of: plain(shop, as_of))


@pytest.fixture(scope="module")
def timeline(shop: Home) -> Timeline:
    return Timeline(shop)


def all_pages(timeline: Timeline, key: int, as_of: datetime, limit: int, **more: Any) -> list[Event]:
    result: list[Event] = []
    below: Position | None = None
    while True:
        page = timeline.page(key, as_of, limit, below, **more)
        assert len(page.events) <= limit
        result += page.events
        if page.end is None:
            return result
        assert len(page.events) == limit  # a page is full while there is more
        below = page.end


@settings(max_examples=10)
@example(key=21, limit=1, kinds=["refund", "trait"], days=3)
@given(
    key=st.integers(1, 600),
    limit=st.sampled_from([3, 10, 60]),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    days=st.sampled_from([0, 0, 3, 200]),
)
def test_pages_of_any_size_tell_every_event_once_and_in_order(
    timeline: Timeline, known: Callable[[datetime], Plain], shop: Home,
    key: int, limit: int, kinds: list[Any], days: int,
) -> None:  # fmt: skip
    as_of = shop.shop().now() - timedelta(days=days)
    expected = [e for e in known(as_of).get(key, []) if e["kind"] in kinds]
    assert [flat(e) for e in all_pages(timeline, key, as_of, limit, kinds=kinds)] == expected


def test_what_happened_but_is_not_known_yet_is_not_told(timeline: Timeline, shop: Home) -> None:
    now = shop.shop().now()
    lines = lake.read(shop, lake.connect()).order_lines.to_pandas()
    late = lines[lines["received_at"] - lines["timestamp"] > pd.Timedelta("1h")].iloc[0]
    moment = late["received_at"].to_pydatetime().replace(tzinfo=UTC)
    key, order = int(late["customer_key"]), late["order_id"]
    for as_of, given_value in ((moment - timedelta(seconds=1), 0), (moment, 1), (now, 1)):
        events = all_pages(timeline, key, as_of, 200, kinds=("order",))
        assert [e.position.id for e in events].count(order) == given_value


def test_activities_are_told_with_their_properties_and_once(shop_copy: Home) -> None:
    """Two at one moment, one of them stored twice, as two files that overlap may leave it."""
    now, key = shop_copy.shop().now(), 21
    moment = (now - timedelta(hours=1)).replace(tzinfo=None)
    row = {"customer_key": key, "timestamp": moment, "received_at": moment, "day": 1, "hour": 8,
           "name": "Complaint Opened", "kind": "complaint_opened", "channel": None, "reference": "t1",
           "product_id": None, "category": None, "amount": Decimal("2.5000"),
           "properties": '{"urgent": true, "tags": ["a"]}'}  # fmt: skip
    later = row | {"received_at": moment + timedelta(minutes=1)}
    path = lake.bucket_file(versions.current(shop_copy).folder, "activities", key)
    schema = pq.read_schema(path)
    pq.write_table(pa.Table.from_pylist([row, later, row | {"reference": "t2"}], schema), path)
    events = all_pages(Timeline(shop_copy), key, now, 1, kinds=("activity",))
    assert {event.details["reference"] for event in events} == {"t1", "t2"}
    assert len({event.position for event in events}) == len(events) == 2
    assert [event.details["properties"] for event in events] == [{"urgent": True, "tags": ["a"]}] * 2
    assert [event.details["amount"] for event in events] == [2.5, 2.5]


def test_only_the_bucket_of_the_customer_is_read(shop_copy: Home, known: Callable[[datetime], Plain]) -> None:
    now, key = shop_copy.shop().now(), 21
    for path in shop_copy.events.glob("*/*/bucket=*"):
        if path.name != f"bucket={key % 16:02d}":
            shutil.rmtree(path)
    assert [flat(e) for e in all_pages(Timeline(shop_copy), key, now, 50)] == known(now)[key]


def test_many_threads_read_at_once(
    timeline: Timeline, known: Callable[[datetime], Plain], shop: Home
) -> None:
    now = shop.shop().now()
    start = threading.Barrier(8)

    def read(first: int) -> dict[int, list[dict[str, Any]]]:
        start.wait()
        return {key: [flat(e) for e in timeline.page(key, now, 200).events] for key in range(first, 200, 8)}

    with ThreadPoolExecutor(8) as pool:
        for given_value in pool.map(read, range(1, 9)):
            assert given_value == {key: known(now)[key][:200] for key in given_value}


def test_events_that_come_later_change_no_page_that_is_still_to_come(shop_copy: Home, plan: Plan) -> None:
    """The lake is written anew below an open timeline, with what happened in the month after."""
    timeline, now, later = Timeline(shop_copy), shop_copy.shop().now(), shop_copy.shop().now() + timedelta(30)
    before = {key: all_pages(timeline, key, now, 200) for key in range(1, 41)}
    firsts = {key: timeline.page(key, now, 3) for key in before}
    simulated_shop.write(shop_copy, plan, later, silent)
    for key, events in before.items():
        rest: list[Event] = []
        if (end := firsts[key].end) is not None:
            page = timeline.page(key, now, 2000, end)
            assert page.end is None
            rest = list(page.events)
        assert [*firsts[key].events, *rest] == events
    after = {key: all_pages(timeline, key, later, 200) for key in before}
    assert sum(map(len, after.values())) > sum(map(len, before.values()))
    for key, events in before.items():
        ids = [e.position for e in after[key]]
        assert [e.position for e in events] == [p for p in ids if p in {e.position for e in events}]


# Over HTTP


def timeline_of(get: Get, customer_id: str, **params: Any) -> dict[str, Any]:
    response = get(f"/v1/customers/{customer_id}/timeline", params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.fixture(scope="module")
def busy(shop: Home, known: Callable[[datetime], Plain]) -> tuple[int, str]:
    """Key and id of a customer with events of every kind."""
    given_value = known(shop.shop().now())
    key = next(
        k for k, es in given_value.items() if {e["kind"] for e in es} == {*KINDS} and 50 < len(es) < 200
    )
    table = Identity(shop).table()
    return key, table["customer_id"][table["customer_key"].to_pylist().index(key)].as_py()


def test_the_service_tells_a_timeline_page_by_page(
    get: Get, busy: tuple[int, str], known: Callable[[datetime], Plain], shop: Home
) -> None:
    key, customer_id = busy
    expected = known(shop.shop().now())[key]
    whole = timeline_of(get, customer_id, limit=200)
    assert (whole["customer_id"], whole["currency"]) == (customer_id, "EUR")
    assert whole["as_of"] == "2024-07-01T09:30:00Z"
    assert whole["next_cursor"] is None
    assert [(e["kind"], datetime.fromisoformat(e["time"])) for e in whole["events"]] == [
        (e["kind"], e["time"]) for e in expected
    ]
    for event, plainly in zip(whole["events"], expected, strict=True):
        given_value = {n: v for n, v in plainly.items() if n not in ("time", "kind", "id", "lines")}
        assert {n: event[n] for n in given_value} == given_value
        for line, other in zip(event.get("lines", []), plainly.get("lines", []), strict=True):
            assert line == {"discount": None} | other
    paged, cursor = [], None
    while cursor is not None or not paged:
        page = timeline_of(get, customer_id, limit=4, **({"cursor": cursor} if cursor else {}))
        paged += page["events"]
        cursor = page["next_cursor"]
    assert paged == whole["events"]
    assert timeline_of(get, customer_id)["events"] == whole["events"][:50]
    both = timeline_of(get, customer_id, kind=["refund", "trait", "refund"], limit=200)["events"]
    assert both == [e for e in whole["events"] if e["kind"] in ("refund", "trait")]


def test_what_is_asked_wrongly_is_refused_in_words(get: Get, busy: tuple[int, str], refused: Any) -> None:
    path = f"/v1/customers/{busy[1]}/timeline"
    for limit in ("0", "-1", "201", "1e9", "1000000000", "NaN", "inf", "", "ten", "1.5"):
        refused(get(path, params={"limit": limit}), "limit: ")
    refused(get(path, params={"kind": "visits"}), "'order', 'refund', 'trait' or 'activity'")
    refused(get(path, params={"limt": 5}), "not permitted")
    refused(get("/v1/customers/nobody/timeline"), "unknown customer", 404)
    refused(get(f"/v1/customers/{'x' * 201}/timeline"), "at most 200")
    # Of a parameter given twice the last counts, as everywhere.
    assert len(get(path + "?limit=9&limit=2").json()["events"]) == 2


def test_a_cursor_from_elsewhere_is_refused_in_words(get: Get, busy: tuple[int, str], refused: Any) -> None:
    path = f"/v1/customers/{busy[1]}/timeline"
    cursor = timeline_of(get, busy[1], limit=1)["next_cursor"]
    other = next(
        body
        for i in range(600)
        if (body := get(f"/v1/customers/C{i:06d}/timeline?limit=1").json().get("next_cursor"))
        and f"C{i:06d}" != busy[1]
    )
    refused(get(path, params={"cursor": other}), "another customer")
    refused(get(path, params={"cursor": get("/v1/customers?limit=1").json()["next_cursor"]}), "cursor: ")
    inside = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert "C0" not in json.dumps(inside)  # no external id

    def forged(**changed: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(inside | changed).encode()).decode()

    wrong = [
        "", "x", "%%%", "é☃", "a\x00b", cursor[:-3], cursor + cursor, "A" * 5000, "=" * 100,
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        base64.urlsafe_b64encode(b"1" * 2900).decode(),
        base64.urlsafe_b64encode(b"null").decode(),
        base64.urlsafe_b64encode(b'{"id": "\\ud800"}').decode(),
        forged(time=1), forged(time="yesterday"), forged(time="2024-01-01T00:00:00"), forged(id=None),
        forged(time="0001-01-01T00:00:00+14:00"), forged(as_of="9999-12-31T23:59:59-14:00"),
        forged(customer_key=str(inside["customer_key"])), forged(customer_key=True), forged(extra=1),
    ]  # fmt: skip
    for text in wrong:
        refused(get(path, params={"cursor": text}), "cursor: ")
    # One that is well made may point anywhere; it opens no more than the customer's own past.
    for strange in (forged(kind="\x00", id="'; DROP TABLE x; --"), forged(id="\x00" * 50)):
        assert get(path, params={"cursor": strange}).status_code == 200
    later = "2100-01-01T00:00:00Z"
    future = get(path, params={"cursor": forged(as_of=later, time=later)})
    assert future.json()["as_of"] == "2024-07-01T09:30:00Z"
    assert future.json()["events"] == timeline_of(get, busy[1])["events"]


def test_without_its_lake_it_says_so(trained_copy: Home, answering: Any, refused: Any) -> None:
    with answering(trained_copy) as get:
        assert get("/v1/customers/C000001/timeline").status_code == 200
        shutil.rmtree(lake.current(trained_copy).folder / "refunds")
        refused(get("/v1/customers/C000001/timeline"), "bring the shop in again with --replace", 503)
        assert get("/v1/customers/C000001/timeline?kind=order").status_code == 200
        for path in trained_copy.events.rglob("*.parquet"):
            path.write_bytes(b"not Parquet" * 100)
        refused(get("/v1/customers/C000001/timeline"), "cannot be read", 503)
