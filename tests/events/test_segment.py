"""Messages of the Segment specification, translated: what becomes of what is told, and what is refused."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import date_of
from events.journal import Message, Refused, tables
from events.schema import FACTS, SCHEMAS
from events.segment.translate import KINDS, Place, translate
from events.taxonomy import SUBSCRIPTIONS

NOW = datetime(2024, 5, 4, 22, 30, 0, 250_000, tzinfo=UTC)
PLACE = Place("Europe/Berlin", "EUR")


def call(kind: str, **more: Any) -> dict[str, Any]:
    """A message of customer c1, with an id of its own."""
    return {"type": kind, "messageId": "m1", "userId": "c1"} | more


def track(event: str, properties: Any = None, **more: Any) -> dict[str, Any]:
    return call("track", event=event, properties=properties, **more)


def fitting(message: Any) -> Message:
    result = translate(message, NOW, PLACE)
    assert isinstance(result, Message), result.reason
    return result


def reason(message: Any) -> str:
    result = translate(message, NOW, PLACE)
    assert isinstance(result, Refused)
    assert json.dumps(json.loads(result.message)) == json.dumps(message)
    return result.reason


def rows(message: Any, table: str) -> list[dict[str, Any]]:
    """The rows that a message leaves in an event table, by way of the journal's own types."""
    result = fitting(message)
    assert set(result.rows) <= {table}
    made: list[dict[str, Any]] = tables([(1, 1, json.dumps(result.rows))])[table].to_pylist()
    assert all(list(row) == list(FACTS.get(table, SCHEMAS[table])) for row in made)
    return made


def row(message: Any, table: str = "activities") -> dict[str, Any]:
    (result,) = rows(message, table)
    return result


def at(message: Any) -> datetime:
    """When an event happened."""
    moment = row(message)["timestamp"]
    return moment.replace(tzinfo=UTC)  # type: ignore[no-any-return]


# Whose


def test_an_event_is_the_customers_or_else_the_devices() -> None:
    assert fitting(call("track", event="x")).customer_id == "c1"
    assert fitting(call("track", event="x", anonymousId="d1")).customer_id == "c1"
    assert fitting(call("track", event="x", anonymousId="d1")).joins == "anonymous:d1"
    assert fitting(call("track", event="x", anonymousId="undefined")).joins is None
    assert fitting(call("track", event="x", userId=None, anonymousId="d1")).customer_id == "anonymous:d1"
    assert fitting(call("track", event="x", userId="", anonymousId=7)).customer_id == "anonymous:7"
    assert fitting(call("track", event="x", userId=12347)).customer_id == "12347"


def test_identify_joins_the_device_and_alias_what_the_customer_was_called() -> None:
    assert fitting(call("identify", anonymousId="d1")).joins == "anonymous:d1"
    assert fitting(call("identify")).joins is None
    assert fitting(call("identify", userId=None, anonymousId="d1")).joins is None
    assert fitting(call("alias", previousId="old")).previous == "old"
    assert fitting(call("alias", previousId="old")).joins is None
    assert fitting(call("alias", previousId="d1", anonymousId="d1")).joins == "anonymous:d1"
    assert fitting(call("alias", previousId="anonymous:d1")).joins == "anonymous:d1"
    assert fitting(call("alias", previousId="c1")).previous is None


@pytest.mark.parametrize(
    ("user_id", "customer_id"),
    [
        (" c1 ", "c1"),
        ("c1\t\n", "c1"),
        ("\ufeffc1\u00a0", "c1"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("C1", "C1"),
        ("Ann Lee", "Ann Lee"),
        ("t-\U0001f468\u200d\U0001f469\u200d\U0001f467", "t-\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("nullable", "nullable"),
        ("00017", "00017"),
    ],
)
def test_an_id_has_one_spelling(user_id: str, customer_id: str) -> None:
    assert fitting(call("track", event="x", userId=user_id)).customer_id == customer_id


@pytest.mark.parametrize(
    "user_id",
    [
        "null",
        "NULL",
        "undefined",
        " None ",
        "NaN",
        "[object Object]",
        "anonymous",
        "n/a",
        "-1",
        "0",
        0,
        -1,
        "0000-00",
    ],
)
@pytest.mark.parametrize("field", ["userId", "previousId"])
def test_a_placeholder_is_no_id(user_id: str, field: str) -> None:
    kind = "alias" if field == "previousId" else "track"
    assert f"{field} is a placeholder" in reason(call(kind, event="x", **{field: user_id}))


def test_a_retry_has_the_same_content_and_another_body_has_not() -> None:
    first = fitting(track("x", {"a": 1}, sentAt="2024-05-04T22:00:00Z"))
    retry = fitting(track("x", {"a": 1}, sentAt="2024-05-04T22:10:00Z", _metadata={"retryCount": 2}))
    assert first.content == retry.content
    assert first.content != fitting(track("x", {"a": 2})).content


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (call("track", event="x", userId=None), "neither userId nor anonymousId"),
        (call("track", event="x", userId=1.5), "userId is neither text nor"),
        (call("track", event="x", userId=True), "userId is neither text nor"),
        (call("track", event="x", userId="x" * 201), "userId is longer than 200"),
        (call("track", event="x", userId="anonymous:d1"), "userId begins with anonymous:"),
        (call("track", event="x", userId="a\nb"), "userId contains a control character"),
        (call("track", event="x", userId="a\x85b"), "userId contains a control character"),
        (call("track", event="x", userId="  "), "neither userId nor anonymousId"),
        (call("track", event="x", userId=None, anonymousId="null"), "anonymousId is a placeholder"),
        (call("track", event="x", messageId=["m"]), "messageId is neither"),
        (call("alias"), "needs previousId and userId"),
        (call("alias", userId=None, anonymousId="d", previousId="d"), "needs previousId and userId"),
        (call("group"), "needs groupId"),
        (call("track"), "event, .*, is missing"),
        (call("track", event=" "), "event, .*, is missing"),
        (call("track", event=5), "event, .*, is missing"),
        (call("track", event="x" * 1001), "event is longer"),
        (call("track", event="x", properties=[]), "properties is not an object"),
        (call("identify", traits="x"), "traits is not an object"),
        (call("purchase"), "type is none of identify, track"),
        (call("track", type=["track"]), "type is none of"),
        ({"userId": "c1"}, "type is none of"),
        ([], "not an object"), ("x", "not an object"), (None, "not an object"),
        (track("x", {"text": "x" * 33_000}), "larger than 32 KB"),
        (track("Order Completed", {"products": [{"price": 1}] * 10_000}), "larger than 32 KB"),
        (track("x", {"a": float("nan")}), "not finite"),
        (track("x", {"a": "\ud800"}), "not Unicode"),
        (track("x", {"a": "\0"}), "NUL"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_words(message: Any, why: str) -> None:
    assert re.search(why, reason(message))


def test_without_an_id_what_is_said_tells_messages_apart() -> None:
    def name(at: datetime = NOW, event: str = "x", timestamp: str | None = None) -> str:
        message = call("track", event=event, timestamp=timestamp, messageId=None)
        result = translate(message, at, PLACE)
        assert isinstance(result, Message)
        return result.message_id

    later = NOW + timedelta(seconds=1)
    then = "2024-05-04T10:00:00Z"
    assert name(timestamp=then) == name(later, timestamp=then) != name(event="y", timestamp=then)
    assert name() == name() != name(later)


# When


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, NOW),
        ({"timestamp": "2024-05-04T10:00:00.000Z"}, datetime(2024, 5, 4, 10, tzinfo=UTC)),
        ({"timestamp": "2024-05-04T12:00:00+02:00"}, datetime(2024, 5, 4, 10, tzinfo=UTC)),
        ({"timestamp": "2024-05-04T10:00:00"}, datetime(2024, 5, 4, 10, tzinfo=UTC)),
        # A clock two days fast: what it calls a minute before sending was a minute before arrival.
        (
            {"timestamp": "2024-05-06T10:00:00Z", "sentAt": "2024-05-06T10:01:00Z"},
            NOW - timedelta(minutes=1),
        ),
        (
            {"originalTimestamp": "1999-05-06T10:00:00Z", "sentAt": "1999-05-06T10:01:00Z"},
            NOW - timedelta(minutes=1),
        ),
        # Corrected already by whoever passed it on.
        (
            {
                "timestamp": "2024-05-04T09:00:00Z", "originalTimestamp": "2023-01-01T00:00:00Z",
                "sentAt": "2023-01-01T00:00:10Z",
            },
            datetime(2024, 5, 4, 9, tzinfo=UTC),
        ),
        # Ahead of its own sending, by less than a day.
        ({"timestamp": "2024-05-04T11:00:00Z", "sentAt": "2024-05-04T10:00:00Z"}, NOW),
        ({"timestamp": "2024-05-05T22:00:00Z"}, NOW),
    ],
)  # fmt: skip
def test_moments_are_corrected_by_the_clients_clock_and_never_after_arrival(
    times: dict[str, str], expected: datetime
) -> None:
    assert at(track("x", **times)) == expected


@given(
    wrong=st.timedeltas(timedelta(days=-9000), timedelta(days=1000)),
    ago=st.timedeltas(timedelta(0), timedelta(days=3000)),
)
def test_a_wrong_clock_changes_nothing_about_when_it_was(wrong: timedelta, ago: timedelta) -> None:
    sent_at = NOW + wrong
    message = track("x", timestamp=(sent_at - ago).isoformat(), sentAt=sent_at.isoformat())
    assert at(message) == NOW - ago


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"timestamp": "yesterday"}, "timestamp is not a moment"),
        ({"timestamp": 1_700_000_000}, "timestamp is not a moment"),
        ({"timestamp": ""}, "timestamp is not a moment"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp is not a moment"),
        ({"timestamp": "2024-05-04T10:00:00Z", "sentAt": {}}, "sentAt is not a moment"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "before 1990"),
        ({"timestamp": "2024-05-06T00:00:00Z"}, "more than a day in the future"),
        ({"timestamp": "2024-05-04T00:00:00Z", "sentAt": "1970-01-01T00:00:00Z"}, "more than a day in"),
        ({"timestamp": "0002-01-01T00:00:00Z", "sentAt": "9999-01-01T00:00:00Z"}, "too far apart"),
    ],
)
def test_moments_that_cannot_be_are_refused(times: dict[str, Any], why: str) -> None:
    assert why in reason(track("x", **times))


def test_the_day_is_the_shops() -> None:
    result = row(track("x"))
    assert date_of(result["day"]) == date(2024, 5, 5)  # half past midnight in Berlin
    assert result["received_at"].replace(tzinfo=UTC) == NOW


# Traits


def test_traits_are_told_one_by_one_and_objects_taken_apart() -> None:
    message = call(
        "identify",
        traits={"country": "DE", "address": {"city": "Köln", "geo": {"lat": 50.9}}, "vip": True, "gone": None,
                "tags": ["a", 1]},
        context={"traits": {"country": "FR", "age": 40}},
    )  # fmt: skip
    assert {r["name"]: r["value"] for r in rows(message, "traits")} == {
        "country": "DE", "address.city": "Köln", "address.geo.lat": "50.9", "vip": "true",
        "tags": '["a",1]', "age": "40", "gone": None,
    }  # fmt: skip
    group = call("group", groupId=5, traits={"plan": "gold"})
    assert {r["name"]: r["value"] for r in rows(group, "traits")} == {"group_id": "5", "group.plan": "gold"}


def test_the_campaign_of_any_message_is_a_trait() -> None:
    context = {"campaign": {"name": "spring", "source": "news", "medium": 5, "other": "x"}}
    traits = rows(call("identify", context=context), "traits")
    assert {r["name"]: r["value"] for r in traits} == {"campaign.name": "spring", "campaign.source": "news"}
    assert rows(call("identify", context={"campaign": "spring"}), "traits") == []
    assert {*fitting(call("page", context=context)).rows} == {"activities", "traits"}


# Orders and what is given back


def order(*products: Any, **more: Any) -> dict[str, Any]:
    return track("Order Completed", {"order_id": "o1", "products": list(products)} | more)


def test_an_order_becomes_its_lines_less_its_discount() -> None:
    lines = rows(
        order(
            {"product_id": "p1", "category": "books", "price": "10.00", "quantity": "2"},
            {"sku": "p2", "price": 3.335},
            {"product_id": 3, "price": 0},
            discount=1, currency="eur", coupon="x",
        ),
        "order_lines",
    )  # fmt: skip
    assert [(r["order_id"], r["product_id"], r["category"], r["quantity"]) for r in lines] == [
        ("o1", "p1", "books", 2), ("o1", "p2", None, 1), ("o1", "3", None, 1),
    ]  # fmt: skip
    assert [r["amount"] for r in lines] == [Decimal("19.1430"), Decimal("3.1920"), 0]
    assert [r["discount"] for r in lines] == [Decimal("0.8570"), Decimal("0.1430"), 0]


cents = st.integers(0, 10**9).map(lambda n: Decimal(n).scaleb(-4))
products = st.lists(st.tuples(cents, st.integers(1, 100), st.integers(0, 100)), min_size=1, max_size=12)


@given(products, st.integers(0, 10_000), st.sampled_from((str, float)))
def test_the_lines_of_an_order_are_together_exactly_the_order(
    order_lines: list[tuple[Decimal, int, int]], part: int, written: Any
) -> None:
    listed, total, own = [], Decimal(0), Decimal(0)
    for price, quantity, percent in order_lines:
        less = (price * quantity * percent / 100).quantize(Decimal("0.0001"), "ROUND_DOWN")
        listed.append({"price": written(price), "quantity": quantity, "discount": written(less)})
        total, own = total + price * quantity, own + less
    discount = own + ((total - own) * part / 10_000).quantize(Decimal("0.0001"), "ROUND_DOWN")
    lines = rows(order(*listed, discount=written(discount)), "order_lines")
    assert sum(r["amount"] for r in lines) == total - discount
    assert sum(r["discount"] for r in lines) == discount
    assert all(r["amount"] >= 0 and r["discount"] >= 0 for r in lines)


def test_an_order_without_products_is_one_line_and_one_without_prices_is_divided() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"revenue": "25.5", "total": 30, "discount": 5}, "25.5"),
        ({"total": 30}, "30"),
        ({"total": 50, "tax": 8, "shipping": "5.00"}, "37"),
        ({"total": 50, "tax": 8, "shipping": "by post"}, "42"),
        ({"subtotal": "20", "total": 30}, "20"),
    ]
    for more, amount in cases:
        (line,) = rows(order(**more), "order_lines")
        assert (line["product_id"], line["quantity"]) == (None, 1)
        assert (line["amount"], line["discount"]) == (Decimal(amount), Decimal(more.get("discount", 0)))
    lines = rows(order({"sku": "a", "quantity": 2}, {"sku": "b"}, revenue=10, discount=2), "order_lines")
    assert [r["amount"] for r in lines] == [Decimal("6.6667"), Decimal("3.3333")]
    assert sum(r["discount"] for r in lines) == 2


def test_without_a_number_an_order_is_known_by_its_message() -> None:
    (line,) = rows(track("Order Completed", {"revenue": 5}), "order_lines")
    assert line["order_id"] == "m1"


@pytest.mark.parametrize("event", ["Order Refunded", "Order Cancelled"])
def test_what_is_given_back_is_the_whole_or_some_products(event: str) -> None:
    (whole,) = rows(track(event, {"order_id": "o1", "total": "12.50"}), "refunds")
    assert (whole["order_id"], whole["product_id"], whole["amount"], whole["matched"]) == (
        "o1", None, Decimal("12.5"), True,
    )  # fmt: skip
    products = [{"product_id": "p1", "price": 4, "quantity": 2}, {"product_id": "p2", "price": "1.5"}]
    parts = rows(track(event, {"products": products, "total": 99}), "refunds")
    assert [(r["product_id"], r["quantity"], r["amount"], r["matched"]) for r in parts] == [
        ("p1", 2, 8, False), ("p2", 1, Decimal("1.5"), False),
    ]  # fmt: skip


@pytest.mark.parametrize("event", ["Order Completed", "Order Refunded"])
@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({}, "neither products nor revenue or total"),
        ({"products": []}, "neither products nor revenue or total"),
        ({"products": {}}, "products is not a list"),
        ({"products": [{"price": -1}, {}]}, "products[0].price is negative"),
        ({"products": ["x"]}, "products[0] has no price"),
        ({"products": [{"price": -1}]}, "products[0].price is negative"),
        ({"products": [{"price": "free"}]}, "products[0].price is not a number"),
        ({"products": [{"price": "NaN"}]}, "products[0].price is not a number"),
        ({"products": [{"price": "Infinity"}]}, "products[0].price is not a number"),
        ({"products": [{"price": "1_000"}]}, "products[0].price is not a number"),
        ({"products": [{"price": True}]}, "products[0].price is not a number"),
        ({"products": [{"price": [1]}]}, "products[0].price is not a number"),
        ({"products": [{"price": 1e308}]}, "products[0].price is too large"),
        ({"products": [{"price": 1, "quantity": -1}]}, "products[0].quantity is not a whole number"),
        ({"products": [{"price": 1, "quantity": 0}]}, "products[0].quantity is not a whole number"),
        ({"products": [{"price": 1, "quantity": 1.5}]}, "products[0].quantity is not a whole number"),
        ({"products": [{"price": 1, "quantity": 10**30}]}, "products[0].quantity is not a whole number"),
        ({"products": [{"price": 10**13, "quantity": 100}]}, "the whole is too large"),
        ({"products": [{"price": 1}], "discount": 2}, "discounts are larger than prices"),
        ({"products": [{"price": 1, "discount": 2}]}, "discounts are larger than prices"),
        ({"products": [{"price": 1}], "discount": -1}, "discount is negative"),
        ({"revenue": -5}, "revenue is negative"),
        ({"total": "1e99"}, "total is too large"),
        ({"revenue": 5, "currency": "euros"}, "currency is not a code"),
        ({"revenue": 5, "currency": 978}, "currency is not a code"),
        ({"revenue": 5, "currency": "USD"}, "currency is not the shop's (EUR)"),
        ({"revenue": 5, "products": [{"price": 1, "sku": "x" * 1001}]}, "sku is longer than 1000"),
    ],
)
def test_orders_that_cannot_be_are_refused(event: str, properties: dict[str, Any], why: str) -> None:
    assert why in reason(track(event, properties))


def test_a_bad_product_of_an_order_is_left_out_and_in_doubt() -> None:
    message = order(
        {"product_id": "a", "price": "10"}, {"product_id": "b", "price": "ten"}, {"product_id": "c"},
        {"product_id": "d", "price": 5, "quantity": 2}, discount=2,
    )  # fmt: skip
    result = fitting(message)
    assert result.doubt is not None
    assert result.doubt.reason == "products[1].price is not a number"
    lines = rows(message, "order_lines")
    assert [(r["product_id"], r["amount"]) for r in lines] == [("a", 9), ("d", 9)]
    assert fitting(order({"product_id": "a", "price": "10"})).doubt is None


@pytest.mark.parametrize("event", ["Order Refunded", "Order Cancelled"])
def test_what_names_its_order_needs_no_amount(event: str) -> None:
    (rest,) = rows(track(event, {"order_id": "o1"}), "refunds")
    assert (rest["order_id"], rest["product_id"], rest["amount"]) == ("o1", None, None)
    assert rest["cancelled"] == (event == "Order Cancelled")
    (part,) = rows(track(event, {"order_id": "o1", "products": [{"sku": "a", "quantity": 2}]}), "refunds")
    assert (part["product_id"], part["quantity"], part["amount"]) == ("a", 2, None)
    assert "neither products nor" in reason(track(event, {}))


def test_an_update_of_an_order_is_a_version_that_names_it() -> None:
    (line,) = rows(track("Order Updated", {"order_id": "o1", "revenue": 60}), "order_lines")
    assert (line["order_id"], line["amount"], line["updated"]) == ("o1", 60, True)
    assert "needs order_id" in reason(track("Order Updated", {"revenue": 60}))


# Everything else


def test_what_is_known_has_a_kind_and_what_is_not_is_kept() -> None:
    properties = {"product_id": "p1", "category": "books", "price": "7.25", "quantity": 2, "odd": {"a": [1]}}
    result = row(track("Product Added", properties))
    assert (result["name"], result["kind"], result["channel"]) == ("Product Added", "cart_added", None)
    assert (result["product_id"], result["category"], result["amount"]) == ("p1", "books", Decimal("14.5"))
    assert json.loads(result["properties"]) == properties
    result = row(track("Näher betrachtet", {"value": "viel"}))
    assert (result["name"], result["kind"], result["amount"]) == ("Näher betrachtet", None, None)
    assert row(track("x"))["properties"] == "{}"
    assert row(track("Points Redeemed", {"value": -100}))["amount"] == -100
    assert row(track("x", {"value": "3", "revenue": 4, "price": 5}))["amount"] == 3


@pytest.mark.parametrize("properties", [{"price": -1}, {"price": 1, "quantity": -2}, {"value": 1e308}])
def test_activities_with_amounts_that_cannot_be_are_refused(properties: dict[str, Any]) -> None:
    assert reason(track("Product Viewed", properties))


def test_activities_in_another_currency_are_refused_where_they_have_an_amount() -> None:
    assert "currency" in reason(track("x", {"value": 1, "currency": "USD"}))
    assert row(track("x", {"currency": "USD"}))["amount"] is None


def test_pages_and_screens_are_seen_and_named_in_their_properties() -> None:
    page = call("page", name="Home", category="Docs", properties={"path": "/", "name": "other"})
    result = row(page)
    assert (result["name"], result["kind"], result["channel"]) == ("Page Viewed", "page", "web")
    assert result["category"] is None
    assert json.loads(result["properties"]) == {"path": "/", "name": "Home", "category": "Docs"}
    assert row(call("screen", name="Cart"))["name"] == "Screen Viewed"


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        (track("Email Opened", {"channel": "web"}), "email"),
        (track("Action Shown", {"channel": "push"}), "push"),
        (track("x", channel="mobile", context={"library": {"name": "analytics.js"}}), "app"),
        (track("x", context={"library": {"name": "RudderLabs JavaScript SDK"}}), "web"),
        (track("x", context={"library": {"name": "analytics-ios"}}), "app"),
        (track("x", context={"library": {"name": "analytics-python"}}), "server"),
        (track("x", context={"library": {"name": 5}, "userAgent": "Mozilla/5.0"}), "web"),
        (track("x", context={"device": {"type": "ios"}}), "app"),
        (track("x", context={"library": "x"}), None),
        (track("x", context=[]), None),
    ],
)
def test_the_channel_is_what_the_event_says_or_what_sent_it(message: Any, channel: str | None) -> None:
    assert row(message)["channel"] == channel


def test_the_reference_is_what_the_event_is_closest_to() -> None:
    assert row(track("Email Opened", {"campaign_id": 7, "message_id": "mail"}))["reference"] == "mail"
    assert row(track("Cart Viewed", {"cart_id": "k1", "order_id": "o"}))["reference"] == "k1"
    assert row(track("x", {"campaign": {"id": 1}, "cart_id": None}))["reference"] is None


def test_an_event_of_a_subscription_is_about_it_and_nothing_else() -> None:
    given_value = {"campaign": "spring", "order_id": "o", "value": 9.9, "period_months": 1}
    for name in ("Started", "Renewed", "Resumed", "Cancelled", "Canceled", "Ended", "Expired"):
        made = row(track(f"Subscription {name}", given_value | {"subscription_id": 12}))
        assert made["reference"] == "12"
        assert made["kind"] in SUBSCRIPTIONS
    assert row(track("Subscription Renewed", given_value))["reference"] is None


# Anything at all

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(("EUR", "1.5", "c1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "anonymousId", "previousId", "groupId", "messageId", "event", "name", "timestamp",
    "originalTimestamp", "sentAt", "traits", "context", "channel",
)  # fmt: skip
PROPERTIES = (
    "order_id", "products", "price", "quantity", "discount", "revenue", "total", "value", "currency",
    "category", "campaign",
)  # fmt: skip
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "userId": st.sampled_from(("c1", 5)) | json_values},
    optional={
        **dict.fromkeys(NAMES, json_values),
        "event": st.sampled_from(("Order Completed", "Order Refunded", "Product Added", "x")) | json_values,
        "properties": json_values
        | st.dictionaries(
            st.sampled_from(PROPERTIES),
            json_values
            | st.lists(st.dictionaries(st.sampled_from(PROPERTIES), json_values, max_size=3), max_size=3),
            max_size=5,
        ),
    },
)


@given(json_values | messages)
def test_whatever_is_told_becomes_rows_of_the_tables_or_is_refused(message: Any) -> None:
    result = translate(message, NOW, PLACE)
    if isinstance(result, Refused):
        assert result.reason
        json.loads(result.message)
        return
    for rows_of in tables([(1, 1, json.dumps(result.rows, ensure_ascii=False))]).values():
        assert all(
            r["timestamp"] <= r["received_at"] == NOW.replace(tzinfo=None) for r in rows_of.to_pylist()
        )
    assert translate(message, NOW, PLACE) == result
