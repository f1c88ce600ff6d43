"""Monthly key figures and cohorts, against plain Python over what was sent."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database
from events import journal, lake
from events.journal import Message
from events.lake import shops
from events.segment.translate import Place, translate
from features.groups.segment_rules import LAPSED_AFTER_DAYS
from features.offline import kpis
from features.offline.kpis import COHORTS, KPIS, WEEKS

ZONE = "America/New_York"
START = datetime(2022, 11, 20, 3, 30, tzinfo=UTC)
NOW = datetime(2025, 3, 16, 12, tzinfo=UTC)
PERSONS = {f"c{i}": f"c{i}" for i in range(14)} | {"c13": "c3"}  # c13 turns out to be c3


@dataclass(frozen=True)
class Order:
    person: str
    placed: datetime
    amount: int


@dataclass(frozen=True)
class Refund:
    person: str
    made: datetime
    amount: int


@dataclass
class Sent:
    """Messages, and what they come to."""

    messages: list[dict[str, Any]]
    orders: list[Order]
    refunds: list[Refund]

    def add(self, customer: str, event: str, at: datetime, **properties: Any) -> None:
        message = {"type": "track", "event": event, "userId": customer, "properties": properties}
        self.messages.append(message | {"timestamp": at.isoformat()})


def generated() -> Sent:
    """Orders of two years: some corrected, refunded or cancelled, and some that nobody can know yet."""
    sent, chance = Sent([], [], []), random.Random(5)
    for customer, person in PERSONS.items():
        at = START + timedelta(days=chance.randrange(400), hours=chance.randrange(24))
        for number in range(chance.randrange(1, 12)):
            order, amount = f"{customer}-{number}", chance.randrange(10, 300)
            sent.add(customer, "Order Completed", at, order_id=order, revenue=amount)
            if chance.random() < 0.3:
                amount = chance.randrange(10, 300)
                sent.add(customer, "Order Updated", at + timedelta(hours=1), order_id=order, revenue=amount)
            fate = chance.random()
            if fate < 0.1:
                sent.add(customer, "Order Cancelled", at + timedelta(hours=2), order_id=order)
            else:
                sent.orders.append(Order(person, at, amount))
            if 0.1 <= fate < 0.4:
                back, later = chance.randrange(1, amount), at + timedelta(days=chance.randrange(1, 60))
                sent.add(customer, "Order Refunded", later, order_id=order, total=back)
                sent.refunds.append(Refund(person, later, back))
            at += timedelta(days=chance.choice((1, 9, 40, 120, 180, 181, 300)), hours=chance.randrange(24))
    sent.orders = [order for order in sent.orders if order.placed < NOW]
    sent.refunds = [refund for refund in sent.refunds if refund.made < NOW]
    return sent


@pytest.fixture(scope="module")
def sent() -> Sent:
    return generated()


@pytest.fixture(scope="module")
def home(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("kpis") / "home")
    shops.begin_live(home, ZONE, "USD")
    merged_at = NOW - timedelta(days=3)
    alias = {"type": "alias", "userId": "c3", "previousId": "c13", "timestamp": merged_at.isoformat()}
    bodies = sorted([*sent.messages, alias], key=lambda body: body["timestamp"])
    place = Place(ZONE, "USD")
    received = [translate(body, datetime.fromisoformat(body["timestamp"]), place) for body in bodies]
    messages = [message for message in received if isinstance(message, Message)]
    assert len(messages) == len(bodies)
    database = Database(home)
    journal.append(database, messages, compacted_seq=0)
    database.close()
    return home


def local(moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(ZONE)).date()


def month(day: date) -> str:
    return f"{day:%Y-%m}"


def months_from(first: str) -> list[str]:
    """Every month from this one to that of ``NOW``."""
    names, day = [], date.fromisoformat(f"{first}-01")
    while month(day) <= month(local(NOW)):
        names.append(month(day))
        day = (day + timedelta(days=31)).replace(day=1)
    return names


def lapses(sent: Sent) -> dict[str, int]:
    """Customers by the month that contains the last of the days after an order, without another one."""
    lapsed: dict[str, int] = defaultdict(int)
    for person in set(PERSONS.values()):
        days = sorted({local(order.placed) for order in sent.orders if order.person == person})
        for i, day in enumerate(days):
            complete = day + timedelta(days=LAPSED_AFTER_DAYS)
            if complete < local(NOW) and (i + 1 == len(days) or days[i + 1] > complete):
                lapsed[month(complete)] += 1
    return lapsed


def firsts(sent: Sent) -> dict[str, str]:
    """The month of each person's first order."""
    days: dict[str, date] = {}
    for order in sent.orders:
        days[order.person] = min(days.get(order.person, date.max), local(order.placed))
    return {person: month(day) for person, day in days.items()}


def test_the_key_figures_are_those_of_plain_python(home: Home, sent: Sent) -> None:
    result, first, lapsed = kpis.compute(home, NOW)[KPIS], firsts(sent), lapses(sent)
    assert sum(lapsed.values()) > 5
    assert (result["time_zone"], result["currency"]) == (ZONE, "USD")
    expected = []
    for name in months_from(min(first.values())):
        orders = [order for order in sent.orders if month(local(order.placed)) == name]
        active = {order.person for order in orders}
        new = {person for person in active if first[person] == name}
        gross = sum(order.amount for order in orders)
        refunds = sum(refund.amount for refund in sent.refunds if month(local(refund.made)) == name)
        expected.append(
            {
                "month": name,
                "complete": name != month(local(NOW)),
                "customers_active": len(active),
                "customers_new": len(new),
                "customers_returning": len(active - new),
                "customers_lapsed": lapsed[name],
                "orders": len(orders),
                "gross": gross,
                "refunds": refunds,
                "net": gross - refunds,
                "average_order_value": round(gross / len(orders), 2) if orders else None,
                "repeat_share": round((len(orders) - len(new)) / len(orders), 4) if orders else None,
            }
        )
    assert result["months"] == expected
    assert any(row["orders"] == 0 for row in expected)  # a month without orders is listed as well


def test_the_cohorts_are_those_of_plain_python(home: Home, sent: Sent) -> None:
    result, first = kpis.compute(home, NOW)[COHORTS], firsts(sent)
    expected = []
    for cohort in sorted(set(first.values())):
        members = {person for person, name in first.items() if name == cohort}
        rows = []
        for i, name in enumerate(months_from(cohort)):
            orders = [o for o in sent.orders if o.person in members and month(local(o.placed)) == name]
            back = [r for r in sent.refunds if r.person in members and month(local(r.made)) == name]
            net = sum(order.amount for order in orders) - sum(refund.amount for refund in back)
            active = len({order.person for order in orders})
            rows.append(
                {
                    "month": name,
                    "complete": name != month(local(NOW)),
                    "months_since_first": i,
                    "customers_active": active,
                    "share_active": round(active / len(members), 4),
                    "net_revenue": net,
                    "net_revenue_per_customer": round(net / len(members), 2),
                }
            )
        expected.append({"cohort": cohort, "customers": len(members), "months": rows})
    assert result["cohorts"] == expected


def test_the_weeks_are_those_of_plain_python(home: Home, sent: Sent) -> None:
    for now in (NOW, NOW - timedelta(days=40)):
        weeks = kpis.compute(home, now)[WEEKS]["weeks"]
        assert [week["last"] for week in weeks] == [f"{local(now) - timedelta(days=n)}" for n in (1, 8)]
        for week in weeks:
            first, last = date.fromisoformat(week["first"]), date.fromisoformat(week["last"])
            assert (last - first).days == 6
            orders = [o for o in sent.orders if first <= local(o.placed) <= last]
            back = [r for r in sent.refunds if first <= local(r.made) <= last]
            counts = len({order.person for order in orders}), len(orders)
            assert (week["customers"], week["orders"]) == counts
            assert week["net"] == sum(o.amount for o in orders) - sum(r.amount for r in back)


def test_at_the_end_of_a_month_it_is_the_last_and_complete(home: Home) -> None:
    midnight = datetime(2025, 2, 1, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    last = kpis.compute(home, midnight)[KPIS]["months"][-1]
    assert (last["month"], last["complete"]) == ("2025-01", True)
    before = kpis.compute(home, midnight - timedelta(minutes=1))[KPIS]["months"][-1]
    assert (before["month"], before["complete"]) == ("2025-01", False)


def test_a_shop_without_orders_has_no_months(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, ZONE, "USD")
    result = kpis.compute(home, NOW)
    assert (result[KPIS]["months"], result[COHORTS]["cohorts"]) == ([], [])


def test_a_build_stores_what_is_read_later(built_shop: Home, home: Home) -> None:
    now = built_shop.shop().now()
    stored = {name: kpis.read(built_shop, name) for name in (KPIS, COHORTS, WEEKS)}
    assert stored == json.loads(json.dumps(kpis.compute(built_shop, now), allow_nan=False))
    assert [m["month"] for m in kpis.latest(stored[KPIS], 2)["months"]] == ["2024-06", "2024-07"]
    assert lake.metadata(home).generation  # it has events, and was never built
    with pytest.raises(NothingThere, match="patron build"):
        kpis.read(home, KPIS)


def test_average_retention_counts_each_customer_of_the_months_that_are_over() -> None:
    def cohort(customers: int, active: list[int], complete: int) -> dict[str, Any]:
        months = [
            {"months_since_first": since, "customers_active": n, "complete": since < complete}
            for since, n in enumerate(active)
        ]
        return {"customers": customers, "months": months}

    cohorts = [cohort(100, [100, 40, 30], 3), cohort(10, [10, 7], 2), cohort(50, [50], 0)]
    assert kpis.average_retention(cohorts) == [1.0, 47 / 110, 0.3]
    assert kpis.average_retention([]) == []
