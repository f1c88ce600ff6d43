"""The report of results over a home with a known effect, and on orders that change afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.decisions.known_effect import SHARE, START, Truth, make
from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database
from decisions.holdout import rotate
from decisions.results import report
from events import journal
from events.identity import join
from events.journal import Message
from events.segment.translate import Place, translate
from records.contacts import ledger
from records.contacts.contact import SENT
from records.decisions import DecisionLog
from records.results import conversions
from records.tables import decisions


@pytest.fixture(scope="module")
def shop_with_effect(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Truth]:
    home = Home(tmp_path_factory.mktemp("results") / "home")
    return home, make(home, 1, 1000)


@pytest.fixture(scope="module")
def home(shop_with_effect: tuple[Home, Truth]) -> Home:
    return shop_with_effect[0]


@pytest.fixture(scope="module")
def computed(home: Home) -> report.Report:
    with pytest.raises(NothingThere, match="patron results"):
        report.read(home)
    return report.update(home)


def test_the_intervals_hold_what_is_true_of_the_shop(
    computed: report.Report, shop_with_effect: tuple[Home, Truth]
) -> None:
    _, truth = shop_with_effect
    whole = computed["programme"]
    assert whole["unclear"] == []
    assert whole["net_margin"]["low"] < truth.programme < whole["net_margin"]["high"]
    (offer,) = computed["actions"]
    assert offer["action"] == "offer"
    assert offer["net_margin"]["low"] < truth.offer < offer["net_margin"]["high"]
    assert offer["chosen"] == offer["effective_chosen"] == whole["contacts"]
    assert offer["contacts"] == whole["contacts"]
    assert offer["conversions"] == computed["conversions"]["count"]
    assert offer["converted_net"] > 0
    assert whole["contact_cost"] == pytest.approx(0.2 * whole["contacts"])
    assert whole["return_on_cost"] == pytest.approx(whole["incremental_margin"] / whole["contact_cost"])
    assert whole["treated"] + whole["holdout"] == 1000
    assert computed["holdout"]["share"] == SHARE
    assert computed["holdout"]["sample_ratio_p"] > 0.001


def test_months_and_segments_are_parts_of_the_whole(computed: report.Report) -> None:
    months = computed["months"]
    assert [(row["month"], row["complete"]) for row in months] == [("2026-03", True), ("2026-04", False)]
    assert sum(row["contacts"] for row in months) == computed["programme"]["contacts"]
    assert {reason for row in months for reason in row["unclear"]} <= {"few_buyers"}
    (segment,) = computed["segments"]
    assert (segment["feature"], segment["value"]) == ("value_tier", "A")
    assert segment["net_margin"] == computed["programme"]["net_margin"]
    april = report.select(computed, "2026-04", "rfm_segment")
    assert (len(april["months"]), april["segments"]) == (1, [])


def test_the_report_is_stored_and_conversions_are_stored_once(home: Home, computed: report.Report) -> None:
    assert report.read(home) == computed
    assert computed["conversions"]["count"] == computed["conversions"]["changed"] > 0
    assert report.update(home)["conversions"] == {"count": computed["conversions"]["count"], "changed": 0}


# A shop of one customer, whose orders arrive as events


@pytest.fixture
def small(empty_home: Home) -> Iterator[Home]:
    make(empty_home, 2, 3)
    yield empty_home
    Database(empty_home).close()


def order(
    home: Home, customer: str, order_id: str, days: float, event: str = "Order Completed", **more: Any
) -> None:
    at = START + timedelta(days=days)
    message = {"type": "track", "event": event, "userId": customer, "messageId": f"{order_id} {event} {days}"}
    message |= {"timestamp": at.isoformat(), "properties": {"order_id": order_id, **more}}
    translated = translate(message, at, Place("UTC", "EUR"))
    assert isinstance(translated, Message)
    journal.append(Database(home), [translated], compacted_seq=0)


def contact(home: Home, key: int, days: float, decision_id: str) -> None:
    """Let a decision of its own be sent to a customer."""
    with DecisionLog(home) as log, log.writing() as connection:
        row = dict(connection.execute(sa.select(decisions).limit(1)).one()._mapping)
        at_us = int((START + timedelta(days=days)).timestamp() * 1e6)
        row |= {"id": decision_id, "customer_key": key, "action": "offer", "channel": "email", "at_us": at_us}
        connection.execute(sa.insert(decisions), {name: v for name, v in row.items() if name != "n"})
        ledger.record(connection, decision_id, SENT, START + timedelta(days=days))


def converted(home: Home, decision_id: str) -> list[tuple[str, float]]:
    report.update(home)
    with DecisionLog(home) as log:
        return [(row.order_id, row.net) for row in conversions.of_decision(log, decision_id)]


def test_an_order_after_a_contact_is_a_conversion_of_the_last_contact(small: Home) -> None:
    contact(small, 1, 20, "first")
    contact(small, 1, 22, "second")
    order(small, "c0", "before", 19.9, total=10)
    order(small, "c0", "at once", 20, total=20)
    order(small, "c0", "between", 21, total=30)
    order(small, "c0", "after", 23, total=40)
    order(small, "c0", "again", 28.9, total=50)
    order(small, "c0", "too late", 29.1, total=60)
    order(small, "c1", "of another", 21, total=70)
    assert converted(small, "first") == [("between", 30.0)]
    assert converted(small, "second") == [("after", 40.0), ("again", 50.0)]


def test_an_order_that_names_its_decision_is_a_conversion_of_it(small: Home) -> None:
    contact(small, 1, 20, "first")
    contact(small, 1, 22, "second")
    contact(small, 2, 20, "of another")
    order(small, "c0", "names", 40, total=10, decision_id="first")  # long after the last contact
    order(small, "c0", "another's", 23, total=20, decision_id="of another")
    order(small, "c0", "unknown", 24, total=30, decision_id="nobody's")
    assert converted(small, "first") == [("names", 10.0)]
    assert converted(small, "second") == [("another's", 20.0), ("unknown", 30.0)]
    assert converted(small, "of another") == []
    counted = report.update(small)["outcomes_from_events"]
    assert counted == {"recorded": 0, "repeated": 1, "unknown_decision": 1, "other_customer": 1}


def test_an_order_names_the_decision_of_a_customer_who_was_merged(small: Home) -> None:
    contact(small, 2, 20, "first")
    with Database(small).writing() as connection:
        join(connection, "c1", "c0", int((START + timedelta(days=21)).timestamp() * 1e6), 10**6)
    order(small, "c0", "names", 40, total=10, decision_id="first")
    assert converted(small, "first") == [("names", 10.0)]


def test_refunds_reduce_a_conversion_and_a_cancelled_order_is_none(small: Home) -> None:
    contact(small, 1, 20, "first")
    order(small, "c0", "new 1", 21, total=30)
    order(small, "c0", "new 2", 22, total=40)
    assert converted(small, "first") == [("new 1", 30.0), ("new 2", 40.0)]
    order(small, "c0", "new 1", 23, "Order Refunded", total=12.5)
    order(small, "c0", "new 2", 23, "Order Cancelled")
    assert [row for row in converted(small, "first") if row[1]] == [("new 1", 17.5)]


def test_a_merge_between_contact_and_order_makes_it_a_conversion(small: Home) -> None:
    contact(small, 1, 20, "first")
    order(small, "c1", "new 1", 22, total=30)
    assert converted(small, "first") == []
    with Database(small).writing() as connection:
        join(connection, "c0", "c1", int((START + timedelta(days=21)).timestamp() * 1e6), 10**6)
    assert converted(small, "first") == [("new 1", 30.0)]


def test_with_few_customers_it_says_why_nothing_can_be_told(small: Home) -> None:
    computed = report.update(small)
    assert computed["programme"]["net_margin"] is None
    assert computed["programme"]["unclear"][0] == "few_customers"
    assert computed["words"]["en"].startswith("cannot tell yet, because the smaller group has ")
    assert computed["words"]["zh"].startswith("暂时无法判断：较小的一组只有")


def test_a_rotation_starts_at_zero(small: Home) -> None:
    assert rotate(small) == 2
    computed = report.update(small)
    assert computed["programme"] is None
    assert computed["words"]["en"].startswith("cannot tell yet, because no customer had a decision since")
