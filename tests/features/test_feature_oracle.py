"""Every feature once more in plain Python, compared on small histories full of edge cases.

The second reading takes a customer's events as a list and works with datetimes, decimals and
fractions; it shares nothing with the features but the events.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.home import Home
from events import lake
from events.schema import BOUNDARIES, OPINIONS, POPULATION, SCHEMAS, Events
from events.taxonomy import CARTS, CONTACTS, SUBSCRIPTIONS, VISITS
from features.groups import FEATURES, GROUPS
from features.text import opinions
from features.text.classifier import TextClassifier
from features.text.opinions import TextReader
from models.text.learning import fit

TICK = timedelta(microseconds=1)
ZONES = ("Europe/London", "Asia/Shanghai", "America/St_Johns", "Pacific/Apia")


@dataclass(frozen=True)
class Line:
    timestamp: datetime
    received_at: datetime
    order_id: str
    product_id: str
    category: str | None
    quantity: int
    amount: Decimal
    discount: Decimal = Decimal(0)


@dataclass(frozen=True)
class Refund:
    timestamp: datetime
    received_at: datetime
    amount: Decimal
    order_id: str | None = None
    product_id: str = "p"
    category: str | None = None
    quantity: int = 1
    matched: bool = False


@dataclass(frozen=True)
class Trait:
    timestamp: datetime
    received_at: datetime
    name: str
    value: str | None


@dataclass(frozen=True)
class Activity:
    timestamp: datetime
    received_at: datetime
    kind: str | None
    channel: str | None = None
    reference: str | None = None
    product_id: str | None = None
    category: str | None = None
    name: str = "named somehow"
    amount: Decimal | None = None
    properties: str | None = None


@dataclass(frozen=True)
class History:
    """One customer, and the moment of the question."""

    as_of: datetime
    lines: list[Line] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    traits: list[Trait] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)


# What divides customers: none in 2011, then twice; by kind, label, category and bound.


def bounds(kind: str, *values: float) -> list[tuple[str, str | None, str | None, float]]:
    return [(kind, None, None, value) for value in values]


def taste(label: str, **centre: float) -> list[tuple[str, str | None, str | None, float]]:
    return [("taste", label, category, share) for category, share in centre.items()]


BOUNDARIES_BY_TIME = {
    datetime(2024, 1, 1, tzinfo=UTC): [
        *bounds("recency", 1, 30, 90, math.inf),
        *bounds("frequency", 2, 2, 3, 4),
        *bounds("money", 0.0001, 10, 100, 500),
        *bounds("tier", 500, 100, 0.0001),
        *taste("a", a=1.0, b=0.0),
        *taste("a & b", a=0.5, b=0.5),
    ],
    datetime(2024, 10, 27, 1, 0, tzinfo=UTC): [
        *bounds("recency", 5, 31, 366, 367),
        *bounds("frequency", 2, 3, 4, math.inf),
        *bounds("money", -5, 0, 10, 20),
        *bounds("tier", 10, 10, 0.0001),
        *taste("a & b", a=0.6, b=0.3),
        *taste("b", a=0.25, b=0.75),
    ],
}

# The second reading


class Reading:
    """What is visible of one history, and the shop's days since."""

    def __init__(self, history: History, zone: str) -> None:
        self.as_of, self.zone = history.as_of, ZoneInfo(zone)
        self.lines = [line for line in history.lines if self._visible(line)]
        self.refunds = [refund for refund in history.refunds if self._visible(refund)]
        self.traits = [trait for trait in history.traits if self._visible(trait)]
        self.activities = sorted({a for a in history.activities if self._visible(a)}, key=moment)

    def _visible(self, event: Event) -> bool:
        return event.timestamp < self.as_of and event.received_at <= self.as_of

    def days_ago(self, event: Event) -> int:
        return (self.as_of.astimezone(self.zone).date() - event.timestamp.astimezone(self.zone).date()).days

    def orders(self, days: int | None = None) -> list[list[Line]]:
        """The orders by their first day, earliest first; those of the last ``days``."""
        by_id: dict[str, list[Line]] = {}
        for line in self.lines:
            by_id.setdefault(line.order_id, []).append(line)
        result = sorted(by_id.values(), key=self.age, reverse=True)
        return [order for order in result if days is None or self.age(order) <= days]

    def age(self, order: list[Line]) -> int:
        return max(map(self.days_ago, order))

    def spend(self, days: int | None = None) -> Fraction:
        return sum((Fraction(line.amount) for order in self.orders(days) for line in order), Fraction(0))

    def refunded(self, days: int | None = None) -> Fraction:
        recent = (r for r in self.refunds if days is None or self.days_ago(r) <= days)
        return sum((Fraction(refund.amount) for refund in recent), Fraction(0))

    def gaps(self) -> list[int]:
        ages = [self.age(order) for order in self.orders()]
        return [before - after for before, after in pairwise(ages)]

    def median_gap(self) -> float | None:
        return median(self.gaps()) if self.gaps() else None

    def gap_spread(self) -> float | None:
        return stdev(self.gaps()) if len(self.gaps()) > 1 else None

    def weekend(self) -> Fraction | None:
        begun = [min(line.timestamp.astimezone(self.zone).date() for line in o) for o in self.orders()]
        return over(Fraction(sum(day.strftime("%a") in ("Sat", "Sun") for day in begun)), len(begun))

    def overdue(self) -> float | None:
        gap = self.median_gap()
        return None if gap is None else min(map(self.age, self.orders())) / max(gap, 1)

    def entropy(self) -> float | None:
        spend: dict[str, Fraction] = {}
        for line in self.lines:
            if line.category is not None:
                spend[line.category] = spend.get(line.category, Fraction(0)) + Fraction(line.amount)
        positive = [amount for amount in spend.values() if amount > 0]
        shares = [amount / sum(positive) for amount in positive]
        return -math.fsum(share * math.log2(share) for share in shares) if shares else None

    def let_off(self, days: int | None = None) -> Fraction | None:
        lines = [line for order in self.orders(days) for line in order]
        discount = total(line.discount for line in lines)
        return over(discount, discount + total(line.amount for line in lines))

    def full_price(self) -> Fraction | None:
        return over(total(line.amount for line in self.lines if not line.discount), self.spend())

    def discounted(self, yes: bool) -> list[list[Line]]:
        return [order for order in self.orders() if any(line.discount for line in order) == yes]

    def discounted_ratio(self) -> Fraction | None:
        paid = [[total(line.amount for line in o) for o in self.discounted(yes)] for yes in (True, False)]
        return over(mean(paid[0]), mean(paid[1])) if all(paid) else None

    def unit_price_ratio(self) -> Fraction | None:
        prices = [Fraction(line.amount) / line.quantity for line in self.lines if line.amount]
        return max(prices) / min(prices) if prices else None

    def categories(self) -> dict[str, list[Line]]:
        result: dict[str, list[Line]] = {}
        for line in self.lines:
            if line.category is not None:
                result.setdefault(line.category, []).append(line)
        return result

    def favourite(self) -> tuple[str | None, Fraction | None]:
        spend = {name: total(li.amount for li in lines) for name, lines in self.categories().items()}
        if not any(spend.values()):
            return None, None
        best = max(spend.values())
        return min(name for name in spend if spend[name] == best), best / total(spend.values())

    def new_categories(self) -> Fraction | None:
        old = {line.category for line in self.lines if self.days_ago(line) > 90}
        recent = [li for li in self.lines if li.category is not None and self.days_ago(li) <= 90]
        new = (line.amount for line in recent if line.category not in old)
        return over(total(new), total(line.amount for line in recent))

    def repeats(self) -> Fraction | None:
        seen: set[str] = set()
        again: list[bool] = []
        for order in self.orders():
            products = {line.product_id for line in order}
            again += [product in seen for product in products]
            seen |= products
        return over(Fraction(sum(again)), len(again))

    def reached(self, kind: str, measure: float | None) -> int | None:
        """How many of the bounds in force a buyer's measure reaches; None before there are any."""
        bounds = self.standing(kind)
        return sum(measure >= bound for *_, bound in bounds) if self.orders() and bounds else None

    def standing(self, kind: str) -> list[tuple[str | None, str | None, float]]:
        since = max((t for t in BOUNDARIES_BY_TIME if t <= self.as_of), default=None)
        return [row[1:] for row in BOUNDARIES_BY_TIME.get(since, []) if row[0] == kind]

    def scores(self) -> tuple[int | None, int | None, int | None]:
        recency = self.reached("recency", min(map(self.age, self.orders()), default=None))
        frequency = self.reached("frequency", len(self.orders()))
        money = self.reached("money", float(self.spend()) - float(self.refunded()))
        if recency is None or frequency is None or money is None:
            return None, None, None
        days, orders = min(map(self.age, self.orders())), len(self.orders())
        recency, frequency, money = 5 - recency, 1 + frequency, 1 + money
        if days > 90:
            recency = min(recency, 3 if days <= 180 else 2)
        if days <= 30:
            recency = max(recency, 3)
        if orders < 4:
            frequency = min(frequency, (1, 3, 4)[orders - 1])
        return recency, frequency, money if self.spend() > self.refunded() else 1

    def rfm(self) -> str | None:
        recency, frequency, money = self.scores()
        if recency is None or frequency is None or money is None:
            return None
        worth, stage, tier = math.ceil((frequency + money) / 2), self.stage(), self.tier()
        if stage == "new" or (tier == "D" and stage != "lapsed"):
            worth = min(worth, 3)
        if stage == "loyal" or tier == "A":
            worth = max(worth, 3)
        on_time = stage in ("new", "repeat", "loyal")
        if on_time and recency >= 4:
            return {1: "recent", 2: "promising", 3: "promising"}.get(worth, "champions")
        if on_time or (recency >= 3 and stage == "at_risk"):
            return {1: "about_to_sleep", 2: "about_to_sleep", 3: "needs_attention"}.get(worth, "core")
        asleep = "hibernating" if recency == 2 else "inactive"
        return {1: asleep, 2: asleep, 3: "slipping", 4: "slipping"}.get(worth, "cannot_lose")

    def tier(self) -> str | None:
        if not self.orders():
            return None
        # As decimals: of two large sums as floats nothing exact is left at a bound of 0.0001.
        net = float(self.spend(365) - self.refunded(365))
        if net <= 0:
            return "D"
        return "CCBA"[self.reached("tier", net) or 0]

    def stage(self) -> str:
        if not self.orders():
            return "prospect"
        recency, gap = min(map(self.age, self.orders())), self.median_gap()
        if recency > 180:
            return "lapsed"
        if recency > (90 if gap is None else max(2 * gap, 30)):
            return "at_risk"
        if len(self.orders()) == 1:
            return "new"
        return "loyal" if len(self.orders(365)) >= 4 else "repeat"

    def taste(self) -> str | None:
        spend = {name: total(li.amount for li in lines) for name, lines in self.categories().items()}
        shares = {name: float(a / total(spend.values())) for name, a in spend.items() if a}
        centres: dict[str, dict[str, float]] = {}
        for label, category, bound in self.standing("taste"):
            centres.setdefault(str(label), {})[str(category)] = bound
        known = {name for centre in centres.values() for name in centre}
        if not known & shares.keys():
            return None

        def distance(label: str) -> float:
            # Less the customer's own length, which is the same for all; equal to nine digits is equal.
            centre = centres[label]
            return round(math.fsum(c * c - 2 * c * shares.get(name, 0) for name, c in centre.items()), 9)

        return min(sorted(centres), key=distance)

    def trait(self, *names: str) -> str | None:
        values = [(trait.timestamp, trait.value) for trait in self.traits if trait.name in names]
        # Null clears, unless there is a value of the same moment.
        newest = max(values, key=lambda pair: (pair[0], pair[1] is not None, pair[1] or ""), default=None)
        return newest and newest[1]

    def known(self) -> int | None:
        """Days since the first event, or since the account's creation, which is no later than today."""
        days = [*map(self.days_ago, [*self.traits, *self.lines, *self.activities])]
        try:
            created = date.fromisoformat((self.trait("createdAt") or "").strip()[:10])
        except ValueError:
            return max(days, default=None)
        today = self.as_of.astimezone(self.zone).date()
        return max(days + [(today - created).days] * (date(1990, 1, 1) <= created <= today))

    def within(self, days: int, events: Iterable[Event]) -> list[Event]:
        return [event for event in events if self.days_ago(event) <= days]

    def since(self, events: Iterable[Event]) -> int | None:
        return min(map(self.days_ago, events), default=None)

    def of(self, *kinds: str) -> list[Activity]:
        return [activity for activity in self.activities if activity.kind in kinds]

    def hour(self, event: Event) -> int:
        return event.timestamp.astimezone(self.zone).hour

    def visits(self, days: int | None = None) -> list[list[Activity]]:
        """The visits, each a list of what was done; those begun in the last ``days``."""
        result: list[list[Activity]] = []
        for activity in self.of(*VISITS, *CARTS):
            if result and activity.timestamp - result[-1][-1].timestamp < timedelta(minutes=30):
                result[-1].append(activity)
            else:
                result.append([activity])
        return [visit for visit in result if days is None or self.days_ago(visit[0]) <= days]

    def carts(self, days: int) -> list[Activity]:
        """The last thing put into each cart, where that is in the last ``days``."""
        carts = [
            [activity for activity in visit if activity.kind in ("cart_added", "checkout")]
            for visit in self.visits()
        ]
        return [cart[-1] for cart in carts if cart and self.days_ago(cart[-1]) <= days]

    def judged(self, days: int = 10**6) -> list[Activity]:
        return [cart for cart in self.carts(days) if self.days_ago(cart) > 1]

    def abandoned(self, days: int = 10**6) -> list[Activity]:
        def followed(cart: Activity) -> bool:
            waits = [line.timestamp - cart.timestamp for line in self.lines]
            return any(timedelta(0) <= wait <= timedelta(hours=24) for wait in waits)

        return [cart for cart in self.judged(days) if not followed(cart)]

    def views(self, days: int) -> dict[tuple[datetime, str | None], str | None]:
        """The category of each product viewed, by moment and product."""
        result: dict[tuple[datetime, str | None], str | None] = {}
        for view in self.within(days, self.of("viewed")):
            known = [
                c for c in (view.category, result.get((view.timestamp, view.product_id))) if c is not None
            ]
            result[view.timestamp, view.product_id] = min(known, default=None)
        return result

    def viewed_most(self) -> tuple[str | None, Fraction | None]:
        seen = Counter(category for category in self.views(90).values() if category is not None)
        best = most(seen)
        return best, None if best is None else Fraction(seen[best], seen.total())

    def messages(self) -> list[list[Activity]]:
        """What is known of each message, its sending first."""
        result: dict[tuple[str | None, str | None], list[list[Activity]]] = {}
        given_value = self.of("sent", "opened", "clicked", "bounced")
        for activity in sorted(given_value, key=lambda a: (a.timestamp, a.kind != "sent")):
            known = result.setdefault((activity.channel, activity.reference), [])
            is_new = activity.kind == "sent" and not any(
                sent.kind == "sent" and self.days_ago(sent) == self.days_ago(activity)
                for message in known
                for sent in message
            )
            if is_new or not known:
                known.append([])
            known[-1].append(activity)
        return [message for messages in result.values() for message in messages]

    def sent(self, days: int = 10**6, *channels: str) -> list[list[Activity]]:
        """The messages that were sent and did not bounce."""
        return [
            message
            for message in self.messages()
            if message[0].kind == "sent"
            and all(activity.kind != "bounced" for activity in message)
            and self.days_ago(message[0]) <= days
            and (not channels or message[0].channel in channels)
        ]

    def taken(self, days: int, *kinds: str) -> int:
        """The messages to which there was such a response in the last ``days``."""
        return sum(any(a.kind in kinds for a in self.within(days, message)) for message in self.messages())

    def ignored(self) -> int:
        latest = max(map(moment, self.of("opened", "clicked")), default=None)
        return sum(latest is None or moment(message[0]) > latest for message in self.sent())

    def channel(self) -> str | None:
        messages = self.sent(365)
        names = {message[0].channel for message in messages} - {None}

        def rank(name: str) -> tuple[Any, ...]:
            own = [message for message in messages if message[0].channel == name]
            return -share(own, "clicked"), -share(own, "opened", "clicked"), name

        best = min(names, key=rank, default=None)
        return best if best is not None and rank(best)[1] else None

    def reviews(self, days: int = 10**6) -> list[tuple[Activity, float | None]]:
        """Each product reviewed at a moment, with the fewest stars told of it; the latest first."""
        result: dict[tuple[datetime, str | None], tuple[Activity, float | None]] = {}
        for given_value in self.within(days, self.of("reviewed")):
            before = result.get((given_value.timestamp, given_value.product_id), (given_value, None))[1]
            stars = [s for s in (before, number(given_value, "rating", 1, 5)) if s is not None]
            result[given_value.timestamp, given_value.product_id] = given_value, min(stars, default=None)
        return sorted(result.values(), key=lambda review: moment(review[0]), reverse=True)

    def stars(self, days: int = 10**6) -> list[float]:
        """Those of the reviews, the latest first, the fewest first where several are as late."""
        known = [
            (-moment(given_value).timestamp(), stars)
            for given_value, stars in self.reviews(days)
            if stars is not None
        ]
        return [stars for _, stars in sorted(known)]

    def surveys(self) -> list[tuple[Activity, float]]:
        """The answers with a score, the latest first."""
        given_value = [(a, number(a, "score", 0, 10)) for a in self.of("survey_answered")]
        known = [(a, score) for a, score in given_value if score is not None]
        return sorted(known, key=lambda pair: (-moment(pair[0]).timestamp(), pair[1]))

    def complaints(self) -> list[list[Activity]]:
        """The openings of each complaint, the earliest first."""
        result: dict[Any, list[Activity]] = {}
        for opened in self.of("complaint_opened"):
            result.setdefault(opened.reference or opened.timestamp, []).append(opened)
        return [*result.values()]

    def is_open(self, complaint: list[Activity]) -> bool:
        opened = complaint[-1]
        resolved = [a for a in self.of("complaint_resolved") if a.reference == opened.reference]
        return all(a.timestamp < opened.timestamp for a in resolved)

    def texts(self, days: int = 10**6) -> list[Text]:
        """Each text, and what was read in it; the latest first, of those as late the less content one."""
        result = set()
        for given_value in self.within(days, self.of("reviewed", "complaint_opened", "survey_answered")):
            if (text := text_in(given_value)) is not None:
                about = given_value.kind, given_value.reference, given_value.product_id
                result.add(Text(given_value.timestamp, *about, *judged(text), topics_in(text)))
        return sorted(result, key=lambda text: (-text.timestamp.timestamp(), text.content))

    def complaining(self, topic: str) -> int:
        return sum(topic in text.topics for text in self.texts(365) if text.complains)

    def topics(self, complaining: bool = False) -> Counter[str]:
        texts = [text for text in self.texts(365) if text.complains or not complaining]
        return Counter(topic for text in texts for topic in text.topics)

    def mean_content(self) -> Fraction | None:
        texts = self.texts(365)
        weighted = sum((Fraction(t.content) * Fraction(t.confidence) for t in texts), Fraction(0))
        return over(weighted, total(text.confidence for text in texts))

    def opted_out(self) -> list[Activity]:
        return self.of("unsubscribed", "marked_as_spam")

    def subscriptions(self, active: bool) -> list[Subscription]:
        """Those that go on, or those that do not, each by what its events say one after the other."""
        given_value: dict[str | None, list[Activity]] = {}
        for event in self.of(*SUBSCRIPTIONS):
            given_value.setdefault(event.reference, []).append(event)
        result = [self.subscription(events) for events in given_value.values()]
        return [s for s in result if s.goes_on(self.today) == active]

    def subscription(self, events: list[Activity]) -> Subscription:
        begins = [a.timestamp for a in events if a.kind == "subscription_started"]
        events = [a for a in events if not begins or a.timestamp >= begins[-1]]
        paid = [a for a in events if a.kind in ("subscription_started", "subscription_renewed")]
        latest = [a for a in paid if a.timestamp == paid[-1].timestamp]
        after = [a for a in events if not paid or a.timestamp >= paid[-1].timestamp]
        return Subscription(
            began=self.day(events[0]),
            renewals=len({a.timestamp for a in events if a.kind == "subscription_renewed"}),
            paid_on=self.day(latest[0]) if latest else None,
            paid_until=largest(self.paid_until(a) for a in latest),
            amount=largest(a.amount for a in latest),
            months=largest(property_of(a, "period_months") for a in latest),
            noticed=least(self.day(a) for a in after if a.kind == "subscription_cancelled"),
            notice_until=largest(
                property_of(a, "ends_at") for a in after if a.kind == "subscription_cancelled"
            ),
            ended=least(self.day(a) for a in after if a.kind == "subscription_ended"),
        )

    def day(self, event: Event) -> date:
        return event.timestamp.astimezone(self.zone).date()

    def paid_until(self, payment: Activity) -> date | None:
        months = property_of(payment, "period_months")
        end = property_of(payment, "ends_at")
        return end if end or not months else next_month(self.day(payment), months)

    @property
    def today(self) -> date:
        return self.as_of.astimezone(self.zone).date()

    def passed(self, day: date) -> int:
        return (self.today - day).days

    def days_left(self) -> int | None:
        return least(-self.passed(s.end) for s in self.subscriptions(True) if s.end)

    def days_since_end(self) -> int | None:
        return least(self.passed(s.end) for s in self.subscriptions(False) if s.end)


@dataclass(frozen=True)
class Subscription:
    """What stands of one, days being the shop's; None where nothing was told."""

    began: date
    renewals: int
    paid_on: date | None
    paid_until: date | None
    amount: Decimal | None
    months: int | None
    noticed: date | None
    notice_until: date | None
    ended: date | None

    @property
    def end(self) -> date | None:
        """The first day not paid, as things stand."""
        if self.ended:
            return self.ended
        if self.noticed:
            return self.notice_until or max(self.noticed, self.paid_until or self.noticed)
        return self.paid_until

    def goes_on(self, today: date) -> bool:
        late = timedelta(0 if self.noticed else 14)
        return not self.ended and (self.end is None or today < self.end + late)

    @property
    def period(self) -> int | None:
        if self.months or not self.paid_until or not self.paid_on:
            return self.months
        return max(1, round(Fraction((self.paid_until - self.paid_on).days * 48, 1461)))

    @property
    def monthly(self) -> Fraction:
        return Fraction(math.floor(Fraction(self.amount or 0) * 10_000 / (self.period or 1)), 10_000)


def property_of(event: Activity, name: str) -> Any:
    """What an event's properties say: a day of this or the last century, or whole months."""
    value = json.loads(event.properties or "{}").get(name)
    if value is None or name == "period_months":
        return None if value is None or not re.fullmatch("[1-9][0-9]{0,2}", str(value)) else int(value)
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        return None
    return day if 1900 <= day.year < 2100 else None


def next_month(day: date, months: int) -> date:
    """The same day so many months later, or the last there is."""
    first = date(day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1, 1)
    longest = (first + timedelta(days=31)).replace(day=1) - first
    return first + min(timedelta(days=day.day - 1), longest - timedelta(days=1))


def largest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def least(values: Iterable[Any]) -> Any:
    return min(values, default=None)


Event = Line | Refund | Trait | Activity


def moment(event: Event) -> datetime:
    return event.timestamp


def number(given_value: Activity, name: str, lowest: float, highest: float) -> float | None:
    """A property, where it is a number, or a text of one, on its scale."""
    properties = json.loads(given_value.properties or "null")
    value = properties.get(name) if isinstance(properties, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = round(float(value), 4)
    except ValueError:
        return None
    return result if lowest <= result <= highest else None


@dataclass(frozen=True)
class Text:
    """A text, and what was read in it."""

    timestamp: datetime
    kind: str | None
    reference: str | None
    product_id: str | None
    content: Decimal
    confidence: Decimal
    topics: tuple[str, ...]

    @property
    def complains(self) -> bool:
        return self.kind == "complaint_opened" or self.discontent

    @property
    def discontent(self) -> bool:
        return self.content < Decimal("0.5")


def text_in(given_value: Activity) -> str | None:
    properties = json.loads(given_value.properties or "null")
    if not isinstance(properties, dict):
        return None
    texts = [properties.get(name) for name in ("review_body", "text", "comment", "message")]
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


@cache
def judged(text: str) -> tuple[Decimal, Decimal]:
    """How content the author is, and how sure that is; each text is read alone."""
    text_value = classifier().predict([text])
    return Decimal(f"{text_value.probability[0]:.6f}"), Decimal(f"{text_value.confidence[0]:.6f}")


def topics_in(text: str) -> tuple[str, ...]:
    words = {"delivery": ("deliver", "快递"), "quality": ("quality", "质量"), "service": ("service", "客服")}
    return tuple(topic for topic, some in words.items() if any(word in text for word in some))


@cache
def classifier() -> TextClassifier:
    good = ["fine quality", "very fine", "fine delivery", "质量好", "客服好"]
    bad = ["poor quality", "very poor", "poor service", "质量差", "快递差"]
    return fit([*good, *bad] * 4, [*[1.0] * 5, *[0.0] * 5] * 4)


TEXTS = [
    "fine",
    "very poor delivery",
    "poor service, poor quality",
    "质量很好，快递很差",
    "客服差",
    "?",
    " ",
]


def most(counts: Counter[Any]) -> Any:
    """What was counted most often, of equals the least; None of nothing."""
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def share(messages: list[list[Activity]], *kinds: str) -> Fraction | None:
    """Share of the messages of which something of these kinds is known."""
    return over(Fraction(sum(any(a.kind in kinds for a in m) for m in messages)), len(messages))


def over(part: Fraction, whole: Fraction | int) -> Fraction | None:
    return part / whole if whole else None


def total(amounts: Iterable[Decimal | Fraction]) -> Fraction:
    return sum(map(Fraction, amounts), Fraction(0))


def yes(value: str | None) -> bool | None:
    return {"true": True, "false": False, "0": False}.get(value or "")


READINGS: dict[str, Callable[[Reading], Any]] = {
    "orders_total": lambda r: len(r.orders()),
    "orders_30d": lambda r: len(r.orders(30)),
    "orders_90d": lambda r: len(r.orders(90)),
    "orders_365d": lambda r: len(r.orders(365)),
    "recency_days": lambda r: min(map(r.age, r.orders()), default=None),
    "tenure_days": lambda r: max(map(r.age, r.orders()), default=None),
    "spend_total": lambda r: r.spend(),
    "spend_90d": lambda r: r.spend(90),
    "spend_365d": lambda r: r.spend(365),
    "largest_order": lambda r: max((sum(li.amount for li in order) for order in r.orders()), default=None),
    "items_total": lambda r: sum(line.quantity for line in r.lines),
    "distinct_products": lambda r: len({line.product_id for line in r.lines}),
    "median_gap_days": Reading.median_gap,
    "longest_gap_days": lambda r: max(r.gaps(), default=None),
    "gap_spread_days": Reading.gap_spread,
    "weekend_share": Reading.weekend,
    "category_entropy": Reading.entropy,
    "refunded_total": lambda r: r.refunded(),
    "refunded_365d": lambda r: r.refunded(365),
    "days_since_refund": lambda r: min(map(r.days_ago, r.refunds), default=None),
    "refund_share": lambda r: over(r.refunded(), r.spend()),
    "net_spend_365d": lambda r: r.spend(365) - r.refunded(365),
    "average_order_value": lambda r: over(r.spend(), len(r.orders())),
    "overdue_ratio": Reading.overdue,
    "spend_trend": lambda r: over(r.spend(90) / 90, r.spend(365) / 365),
    "discount_share": Reading.let_off,
    "discount_share_365d": lambda r: r.let_off(365),
    "full_price_share": Reading.full_price,
    "discounted_order_ratio": Reading.discounted_ratio,
    "days_since_discounted_order": lambda r: min(map(r.age, r.discounted(True)), default=None),
    "average_unit_price": lambda r: over(r.spend(), sum(line.quantity for line in r.lines)),
    "unit_price_ratio": Reading.unit_price_ratio,
    "favourite_category": lambda r: r.favourite()[0],
    "favourite_category_share": lambda r: r.favourite()[1],
    "distinct_categories": lambda r: len(r.categories()),
    "new_category_share_90d": Reading.new_categories,
    "days_since_new_category": lambda r: min(
        (max(map(r.days_ago, lines)) for lines in r.categories().values()), default=None
    ),
    "repeat_product_share": Reading.repeats,
    "visits_7d": lambda r: len(r.visits(7)),
    "visits_30d": lambda r: len(r.visits(30)),
    "visits_90d": lambda r: len(r.visits(90)),
    "days_since_visit": lambda r: r.since(visit[0] for visit in r.visits()),
    "visit_trend": lambda r: over(Fraction(len(r.visits(30)) * 3), len(r.visits(90))),
    "usual_visit_hour": lambda r: most(Counter(r.hour(visit[0]) for visit in r.visits(90))),
    "product_views_30d": lambda r: len(r.views(30)),
    "products_viewed_90d": lambda r: len({product for _, product in r.views(90)} - {None}),
    "most_viewed_category_90d": lambda r: r.viewed_most()[0],
    "most_viewed_category_share_90d": lambda r: r.viewed_most()[1],
    "searches_30d": lambda r: len({a.timestamp for a in r.within(30, r.of("searched"))}),
    "cart_visit_share_90d": lambda r: share(r.visits(90), "cart_added", "checkout"),
    "carts_90d": lambda r: len(r.carts(90)),
    "abandoned_carts_90d": lambda r: len(r.abandoned(90)),
    "cart_abandonment_share_90d": lambda r: over(Fraction(len(r.abandoned(90))), len(r.judged(90))),
    "days_since_abandoned_cart": lambda r: r.since(r.abandoned()),
    "contacts_7d": lambda r: len(r.sent(7)),
    "contacts_30d": lambda r: len(r.sent(30)),
    "contacts_90d": lambda r: len(r.sent(90)),
    "emails_90d": lambda r: len(r.sent(90, "email")),
    "opened_30d": lambda r: r.taken(30, "opened", "clicked"),
    "opened_90d": lambda r: r.taken(90, "opened", "clicked"),
    "clicked_90d": lambda r: r.taken(90, "clicked"),
    "open_rate_90d": lambda r: share(r.sent(90), "opened", "clicked"),
    "click_rate_90d": lambda r: share(r.sent(90), "clicked"),
    "email_open_rate_90d": lambda r: share(r.sent(90, "email"), "opened", "clicked"),
    "days_since_contact": lambda r: r.since(message[0] for message in r.sent()),
    "days_since_open": lambda r: r.since(r.of("opened", "clicked")),
    "days_since_click": lambda r: r.since(r.of("clicked")),
    "ignored_in_a_row": Reading.ignored,
    "preferred_channel_365d": Reading.channel,
    "preferred_hour_365d": lambda r: most(
        Counter(map(r.hour, {a.timestamp: a for a in r.within(365, r.of("opened", "clicked"))}.values()))
    ),
    "unsubscribed_email": lambda r: (
        any(a.channel == "email" for a in r.of("unsubscribed")) if r.of(*CONTACTS) else None
    ),
    "marked_as_spam": lambda r: bool(r.of("marked_as_spam")) if r.of(*CONTACTS) else None,
    "days_since_opt_out": lambda r: r.since(r.opted_out()),
    "active_subscriptions": lambda r: len(r.subscriptions(True)),
    "renewing_subscriptions": lambda r: sum(s.noticed is None for s in r.subscriptions(True)),
    "subscription_tenure_days": lambda r: largest(r.passed(s.began) for s in r.subscriptions(True)),
    "subscription_renewals": lambda r: sum(s.renewals for s in r.subscriptions(True)),
    "subscription_days_left": Reading.days_left,
    "subscription_period_months": lambda r: largest(s.period for s in r.subscriptions(True)),
    "subscription_monthly_amount": lambda r: total(s.monthly for s in r.subscriptions(True)),
    "subscriptions_ended": lambda r: len(r.subscriptions(False)),
    "days_since_subscription_end": Reading.days_since_end,
    "days_since_cancellation": lambda r: r.since(r.of("subscription_cancelled")),
    "reviews_365d": lambda r: len(r.reviews(365)),
    "days_since_review": lambda r: r.since(at for at, _ in r.reviews()),
    "mean_rating_365d": lambda r: mean(r.stars(365)) if r.stars(365) else None,
    "lowest_rating_365d": lambda r: min(r.stars(365), default=None),
    "last_rating": lambda r: next(iter(r.stars()), None),
    "low_ratings_365d": lambda r: sum(stars <= 2 for stars in r.stars(365)),
    "complaints_365d": lambda r: sum(r.days_ago(complaint[-1]) <= 365 for complaint in r.complaints()),
    "open_complaints": lambda r: sum(map(r.is_open, r.complaints())),
    "days_since_complaint": lambda r: r.since(complaint[-1] for complaint in r.complaints()),
    "last_survey_score": lambda r: r.surveys()[0][1] if r.surveys() else None,
    "days_since_survey": lambda r: r.since(at for at, _ in r.surveys()),
    "texts_365d": lambda r: len(r.texts(365)),
    "mean_content_365d": Reading.mean_content,
    "least_content_365d": lambda r: min((text.content for text in r.texts(365)), default=None),
    "last_text_content": lambda r: r.texts()[0].content if r.texts() else None,
    "last_text_confidence": lambda r: r.texts()[0].confidence if r.texts() else None,
    "discontent_share_365d": lambda r: over(
        Fraction(sum(text.discontent for text in r.texts(365))), len(r.texts(365))
    ),
    "delivery_complaints_365d": lambda r: r.complaining("delivery"),
    "quality_complaints_365d": lambda r: r.complaining("quality"),
    "service_complaints_365d": lambda r: r.complaining("service"),
    "top_topic_365d": lambda r: most(r.topics()),
    "top_complaint_topic_365d": lambda r: most(r.topics(complaining=True)),
    "recency_score": lambda r: r.scores()[0],
    "frequency_score": lambda r: r.scores()[1],
    "monetary_score": lambda r: r.scores()[2],
    "rfm_segment": Reading.rfm,
    "value_tier": Reading.tier,
    "lifecycle_stage": Reading.stage,
    "taste_cluster": Reading.taste,
    "country": lambda r: r.trait("country", "address.country"),
    "acquisition_channel": lambda r: r.trait("channel"),
    "newsletter": lambda r: yes(r.trait("newsletter")),
    "known_days": Reading.known,
}


# The features, on DuckDB


class Engine:
    """The features compiled once over tables that are filled anew for every example."""

    def __init__(self) -> None:
        self.connection = lake.connect()
        self.connection.con.execute("SET threads = 1")  # the tables are tiny
        tables = SCHEMAS | {"population": POPULATION, "boundaries": BOUNDARIES, "opinions": OPINIONS}
        self.reader = reader()
        for name, schema in tables.items():
            self.connection.create_table(name, schema=ibis.schema(schema))
        population = self.connection.table("population")
        events = Events(
            **{name: self.connection.table(name) for name in (*SCHEMAS, "opinions", "boundaries")}
        )
        divided = [
            dict(zip(BOUNDARIES, (naive(since), *row), strict=True))
            for since, rows in BOUNDARIES_BY_TIME.items()
            for row in rows
        ]
        self.fill("boundaries", BOUNDARIES, divided)
        self.queries = [str(ibis.to_sql(group.compute(events, population))) for group in GROUPS]

    def fill(self, name: str, schema: dict[str, str], rows: list[dict[str, Any]]) -> pa.Table:
        arrow = pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow())
        self.connection.con.execute(f"DELETE FROM {name}")
        self.connection.con.register("rows", arrow)
        self.connection.con.execute(f"INSERT INTO {name} BY NAME FROM rows")
        self.connection.con.unregister("rows")
        return arrow

    def answers(self, histories: list[History], zone: str) -> list[dict[str, Any]]:
        """The features of each history, one customer each."""
        for name in SCHEMAS:
            attribute = "lines" if name == "order_lines" else name
            rows = [
                vars(event)
                | {"customer_key": key, "day": local_day(event.timestamp, zone)}
                | {"hour": event.timestamp.astimezone(ZoneInfo(zone)).hour}
                | {"timestamp": naive(event.timestamp), "received_at": naive(event.received_at)}
                for key, history in enumerate(histories)
                for event in getattr(history, attribute)
            ]
            given_value = self.fill(name, SCHEMAS[name], rows)
            if name == "activities":
                self.fill("opinions", OPINIONS, self.reader.opinions(given_value).to_pylist())
        request = [
            {"customer_key": k, "as_of": naive(h.as_of), "as_of_day": local_day(h.as_of, zone)}
            for k, h in enumerate(histories)
        ]
        self.fill("population", POPULATION, request)
        result: list[dict[str, Any]] = [{} for _ in histories]
        for query in self.queries:
            for row in self.connection.con.execute(query).to_arrow_table().to_pylist():
                result[row["customer_key"]] |= row
        return result


def reader() -> TextReader:
    """The classifier as a home holds it."""
    with TemporaryDirectory() as folder:
        opinions.install(Home(Path(folder)), classifier().to_files())
        return TextReader.of(Home(Path(folder)))


def naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def local_day(moment: datetime, zone: str) -> int:
    return moment.astimezone(ZoneInfo(zone)).toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001


ENGINE: list[Engine] = []


@pytest.fixture(scope="module", autouse=True)
def engine() -> Any:
    ENGINE.append(Engine())
    yield
    ENGINE.clear()


def compare(histories: list[History], zone: str) -> None:
    """Hold the features against the readings; activities told again and backwards must change nothing."""
    again = [replace(h, activities=[*reversed(h.activities), *h.activities]) for h in histories]
    result = ENGINE[0].answers([*histories, *again], zone)
    half = len(histories)
    assert [row | {"customer_key": row["customer_key"] - half} for row in result[half:]] == result[:half]
    for history, row in zip(histories, result[:half], strict=True):
        reading = Reading(history, zone)
        for name, read in READINGS.items():
            expected, result = read(reading), row[name]
            if expected is None or isinstance(expected, str | bool):
                assert result == expected, name
            else:
                close = math.isclose(float(result), float(expected), rel_tol=1e-9, abs_tol=1e-12)
                assert close, f"{name}: {result} is not {expected}"


# Histories

# Midnights, half a day, the days of windows, days of 23 and 25 hours, and the next representable moment.
AGES = (
    [timedelta(0), -TICK, TICK, timedelta(milliseconds=1), timedelta(seconds=1), timedelta(hours=-3)]
    + [timedelta(hours=hours) for hours in (1, 12, 23, 24, 25, 47)]
    + [timedelta(days=days) + half for days in (30, 90, 365) for half in (timedelta(), timedelta(hours=23))]
    + [timedelta(days=days, hours=-1) for days in (31, 91, 366, 500, 3000)]
)
AS_OFS = [
    datetime(2024, 3, 31, 0, 30, tzinfo=UTC),  # before the clocks go forward in London
    datetime(2024, 3, 31, 23, 0, tzinfo=UTC),  # midnight in London, in summer time
    datetime(2024, 10, 27, 1, 0, tzinfo=UTC),  # the second one o'clock in London
    datetime(2024, 3, 1, 0, 0, tzinfo=UTC),  # after a leap day
    datetime(2011, 12, 31, 10, 0, tzinfo=UTC),  # the day after the one that Apia left out
    datetime(2024, 11, 3, 4, 29, 59, 999_999, tzinfo=UTC),
]
ages = st.one_of(
    st.sampled_from(AGES), st.integers(0, 900 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
)
lateness = st.sampled_from([timedelta(0)] * 5 + [timedelta(hours=1), timedelta(days=40), TICK])
money = st.one_of(
    st.sampled_from([Decimal("0"), Decimal("0.0001"), Decimal("10"), Decimal("99999999.9999")]),
    st.decimals(0, 500, places=2),
)
discounts = st.one_of(st.just(Decimal(0)), money)
# Beside one another, a visit and a cart apart, and a little less and more.
APART = [sign * (t + tick) for t in (timedelta(0), timedelta(minutes=30), timedelta(hours=24))
         for tick in (-TICK, timedelta(0), TICK) for sign in (-1, 1)]  # fmt: skip
OFTEN = ["page", "viewed", "cart_added", "sent", "opened", "clicked"] * 3
SELDOM = ["searched", "checkout", "cart_removed", "wished", "bounced", "unsubscribed", "marked_as_spam", None]
TERMS = st.sampled_from(
    ["{}", '{"period_months":1}', '{"period_months": "12" , "plan": "gold"}', '{"period_months":999}',
     '{"period_months":0}', '{"period_months":1.5}', '{"ends_at":"2024-03-31T23:00:00Z"}', '{"ends_at":null}',
     '{"period_months":3,"ends_at":"2023-02-29"}', '{"ends_at": "2024-11-01", "period_months": 6}',
     '{"ends_at":"9999-12-31"}', '{"note":"\\"ends_at\\":\\"2024-01-01\\"","ends_at":"2025-01-01"}', None]
)  # fmt: skip
TEXT_KINDS = ["reviewed", "complaint_opened", "complaint_resolved", "survey_answered"] * 2
kinds = st.sampled_from([*OFTEN, *SELDOM, *TEXT_KINDS])
VALUES = [
    0, 1, 2, 5, 10, 11, -1, 3.7, 2.00004, 5.00004, "4", "4.5", "four", "", True, None, [3], {"rating": 3},
]  # fmt: skip
properties = st.one_of(
    TERMS,
    st.sampled_from([None, "{}", "[1]", "3", '"rating"', "null"]),
    st.builds(lambda name, value: json.dumps({"a": "b", name: value}),
              st.sampled_from(["rating", "score", "Rating"]), st.sampled_from(VALUES)),
    st.builds(lambda name, text: json.dumps({"rating": 3, name: text, "message": 7}),
              st.sampled_from(["review_body", "text", "comment", "message", "words"]),
              st.sampled_from(TEXTS)),
)  # fmt: skip
words = st.sampled_from(["", "true", "false", "DE", "de", "Österreich", "中国", "0", "zz"])
creations = st.sampled_from(
    ["2009-06-30", " 2023-01-01T23:59:59-08:00", "1989-12-31", "2999-01-01", "2023-02-30"]
)
categories = st.sampled_from(["a", "b", "c", None])


@st.composite
def customers(draw: st.DrawFn) -> History:
    as_of = draw(st.sampled_from(AS_OFS))
    # Few moments, so that events share them.
    moments = draw(st.lists(ages.map(lambda age: as_of - age), min_size=1, max_size=5))

    def when() -> dict[str, datetime]:
        timestamp = draw(st.sampled_from(moments))
        exactly = draw(st.integers(0, 9)) == 0
        late = draw(lateness)
        return {"timestamp": timestamp, "received_at": as_of if exactly else timestamp + late}

    def several(make: Callable[[], Any], most: int) -> list[Any]:
        return [make() for _ in range(draw(st.integers(0, most)))]

    def line() -> Line:
        ids = draw(st.sampled_from("ABCD")), draw(st.sampled_from("pqr"))
        return Line(**when(), order_id=ids[0], product_id=ids[1], category=draw(categories),
                    quantity=draw(st.integers(1, 2000)), amount=draw(money),
                    discount=draw(discounts))  # fmt: skip

    def refund() -> Refund:
        return Refund(**when(), amount=draw(money))

    def trait() -> Trait:
        name = draw(
            st.sampled_from(["country", "address.country", "channel", "newsletter", "createdAt", "x"])
        )
        return Trait(**when(), name=name, value=draw(st.none() | words | creations))

    def activity() -> Activity:
        times, apart = when(), draw(st.sampled_from(APART))
        return Activity(times["timestamp"] + apart, times["received_at"] + apart, draw(kinds),
                        channel=draw(st.sampled_from(["email", "push", "sms", None])),
                        reference=draw(st.sampled_from(["m", "n", None])),
                        product_id=draw(st.sampled_from(["p", "q", None])),
                        category=draw(categories), properties=draw(properties))  # fmt: skip

    def paid() -> Activity:
        often = [*SUBSCRIPTIONS, "subscription_started", "subscription_renewed"]
        return Activity(**when(), kind=draw(st.sampled_from(often)),
                        reference=draw(st.sampled_from(["s", "t", None])),
                        amount=draw(st.one_of(st.none(), money)), properties=draw(TERMS))  # fmt: skip

    activities = several(activity, 14) + several(paid, 8)
    return History(as_of, several(line, 8), several(refund, 3), several(trait, 6), activities)


def noon(day: int) -> dict[str, datetime]:
    moment = datetime(2024, 5, day, 12, tzinfo=UTC)
    return {"timestamp": moment, "received_at": moment}


def test_every_feature_has_a_second_reading():
    assert READINGS.keys() == FEATURES.keys()


@pytest.mark.filterwarnings(
    "ignore:Generating overly large repr"
)  # of twenty histories, if a plugin of Hypothesis prints them
@settings(max_examples=60)
@example([History(AS_OFS[0])], "Europe/London")
@example(
    # More given back than was paid, for something that was free.
    [History(AS_OFS[2], [Line(**noon(1), order_id="A", product_id="p", category="a", quantity=1,
                              amount=Decimal(0))], [Refund(**noon(2), amount=Decimal(5))])],
    "Europe/London",
)  # fmt: skip
@example(
    # A Saturday and a Wednesday before days were counted.
    [History(AS_OFS[2], [Line(datetime(1969, 12, day, 12, tzinfo=UTC), AS_OFS[3], order_id=str(day),
                              product_id="p", category="a", quantity=1, amount=Decimal(1))
                         for day in (27, 31)])],
    "Europe/London",
)  # fmt: skip
@example(
    # Two answers within a tenth of a second: the later one counts, not the greater one.
    [
        History(
            AS_OFS[2],
            traits=[
                Trait(noon(1)["timestamp"], noon(1)["timestamp"], "country", "zz"),
                Trait(noon(1)["timestamp"] + TICK, noon(2)["timestamp"], "country", "aa"),
            ],
        )
    ],
    "Asia/Shanghai",
)
@given(st.lists(customers(), min_size=1, max_size=20), st.sampled_from(ZONES))
def test_the_features_agree_with_their_second_reading(histories: list[History], zone: str):
    compare(histories, zone)


def test_a_history_worked_by_hand():
    """Three orders, the first in two parts on two days; one refund; London, the clocks in summer time."""

    def at(*when: int) -> dict[str, datetime]:
        moment = datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]
        return {"timestamp": moment, "received_at": moment}

    def line(order: str, product: str, category: str | None, quantity: int, amount: str, *when: int) -> Line:
        off = Decimal(5) if order == "B" else Decimal(0)
        return Line(**at(*when), order_id=order, product_id=product, category=category,
                    quantity=quantity, amount=Decimal(amount), discount=off)  # fmt: skip

    def paid(what: str, reference: str, amount: str, terms: str, *when: int) -> Activity:
        kind = f"subscription_{what}"
        return Activity(**at(*when), kind=kind, reference=reference, amount=Decimal(amount), properties=terms)

    history = History(
        datetime(2024, 6, 30, 23, tzinfo=UTC),  # July begins in London
        [
            line("A", "p", "tea", 2, "10.00", 2023, 6, 30, 12),
            line("A", "q", "tea", 1, "20.00", 2023, 7, 1, 12),
            line("B", "p", "cake", 1, "30.00", 2024, 6, 1, 22, 59),  # June 1, 30 days ago
            line("C", "r", None, 4, "40.00", 2024, 6, 29, 23),  # June 30, the day before
            line("D", "s", "tea", 1, "99.00", 2024, 6, 30, 23),  # at the very moment: not yet
        ],
        [Refund(**at(2024, 6, 10), amount=Decimal("30.00"))],
        [
            Trait(**at(2024, 1, 1), name="country", value="United Kingdom"),
            Trait(**at(2024, 2, 1), name="country", value="France"),
        ],
        [
            Activity(**at(2024, 5, 2, 10), kind="viewed", product_id="q", category="cake"),
            Activity(**at(2024, 5, 2, 10, 30), kind="checkout"),  # another visit, and no order follows
            Activity(**at(2024, 5, 2, 10, 31), kind="searched"),
            Activity(**at(2024, 6, 1, 22, 30), kind="cart_added"),  # order B follows
            Activity(**at(2024, 6, 29, 22, 50), kind="page"),  # ten to midnight
            Activity(**at(2024, 6, 29, 23, 10), kind="viewed", product_id="p", category="tea"),
            Activity(**at(2024, 6, 29, 23, 15), kind="cart_added"),  # too lately to say
            Activity(**at(2024, 3, 1, 9), kind="sent", channel="email", reference="spring"),
            Activity(**at(2024, 3, 2, 20), kind="opened", channel="email", reference="spring"),
            Activity(**at(2024, 6, 3, 9), kind="sent", channel="email", reference="june"),
            Activity(**at(2024, 6, 3, 9, 1), kind="sent", channel="email", reference="june"),  # delivered
            Activity(**at(2024, 6, 3, 19), kind="opened", channel="email", reference="june"),
            Activity(**at(2024, 6, 4, 6), kind="clicked", channel="email", reference="june"),
            Activity(**at(2024, 6, 24, 9), kind="sent", channel="email", reference="june"),
            Activity(**at(2024, 6, 25, 9), kind="sent", channel="push"),
            Activity(**at(2024, 6, 26, 9), kind="sent", channel="push"),
            Activity(**at(2024, 6, 26, 9), kind="bounced", channel="push"),
            Activity(**at(2024, 6, 28, 9), kind="unsubscribed", channel="email"),
            paid("started", "tea club", "10.00", '{"period_months": 3}', 2024, 1, 31, 9),
            Activity(**at(2024, 4, 20, 9), kind="subscription_cancelled", reference="tea club"),
            paid("renewed", "tea club", "10.00", '{"period_months": 3}', 2024, 4, 30, 9),  # not cancelled, so
            paid("started", "delivery", "60.00", '{"ends_at": "2024-08-01"}', 2023, 8, 1, 9),
            Activity(**at(2024, 6, 1, 9), kind="subscription_cancelled", reference="delivery"),
            paid("started", "magazine", "5.00", '{"period_months": 1}', 2024, 5, 1, 9),  # and never again
            Activity(**at(2024, 5, 31, 12), kind="reviewed", product_id="p", properties='{"rating": 5}'),
            Activity(**at(2024, 6, 11, 12), kind="reviewed", product_id="p", properties='{"rating": "1.5"}'),
            Activity(**at(2024, 6, 20, 12), kind="reviewed", product_id="q", properties='{"rating": 6}'),
            Activity(**at(2023, 6, 1, 12), kind="complaint_opened", reference="1"),
            Activity(
                **at(2024, 6, 2, 12),
                kind="complaint_opened",
                reference="2",
                properties='{"text": "poor delivery"}',
            ),
            Activity(**at(2024, 6, 9, 12), kind="complaint_resolved", reference="2"),
            Activity(**at(2024, 6, 10, 12), kind="complaint_opened", reference="3"),
            Activity(**at(2024, 6, 21, 12), kind="survey_answered", properties='{"score": 3}'),
            Activity(**at(2024, 6, 22, 12), kind="survey_answered", properties='{"comment": "fine quality"}'),
        ],
    )
    (result,) = ENGINE[0].answers([history], "Europe/London")
    a, b = judged("fine quality"), judged("poor delivery")
    assert a[0] > Decimal("0.5") > b[0]
    assert {name: result[name] for name in FEATURES} == {
        "orders_total": 3,
        "orders_30d": 2,
        "orders_90d": 2,
        "orders_365d": 2,  # 2023-06-30 is 367 days before 2024-07-01
        "recency_days": 1,
        "tenure_days": 367,
        "spend_total": 100.0,
        "spend_90d": 70.0,
        "spend_365d": 70.0,
        "largest_order": 40.0,
        "items_total": 8,
        "distinct_products": 3,
        "median_gap_days": 183.0,  # of 337 and 29
        "longest_gap_days": 337,
        "gap_spread_days": pytest.approx(154 * 2**0.5),
        "weekend_share": pytest.approx(2 / 3),  # a Friday, a Saturday, a Sunday
        "category_entropy": 1.0,
        "refunded_total": 30.0,
        "refunded_365d": 30.0,
        "days_since_refund": 21,
        "refund_share": 0.3,
        "net_spend_365d": 40.0,
        "average_order_value": pytest.approx(100 / 3),
        "overdue_ratio": pytest.approx(1 / 183),
        "spend_trend": pytest.approx(365 / 90),
        "discount_share": pytest.approx(5 / 105),
        "discount_share_365d": pytest.approx(5 / 75),
        "full_price_share": 0.7,
        "discounted_order_ratio": pytest.approx(30 / 35),
        "days_since_discounted_order": 30,
        "average_unit_price": 12.5,
        "unit_price_ratio": 6.0,  # 30 and 5
        "favourite_category": "cake",  # as much as tea, and before it
        "favourite_category_share": 0.5,
        "distinct_categories": 2,
        "new_category_share_90d": 1.0,  # tea was 366 days ago, and what has no category does not count
        "days_since_new_category": 30,
        "repeat_product_share": 0.25,  # p, q; p again; r
        "visits_7d": 1,
        "visits_30d": 2,
        "visits_90d": 4,
        "days_since_visit": 2,
        "visit_trend": 1.5,
        "usual_visit_hour": 11,  # as often as 23, and before it
        "product_views_30d": 1,
        "products_viewed_90d": 2,
        "most_viewed_category_90d": "cake",
        "most_viewed_category_share_90d": 0.5,
        "searches_30d": 0,
        "cart_visit_share_90d": 0.75,
        "carts_90d": 3,
        "abandoned_carts_90d": 1,
        "cart_abandonment_share_90d": 0.5,
        "days_since_abandoned_cart": 60,
        "contacts_7d": 2,
        "contacts_30d": 3,
        "contacts_90d": 3,
        "emails_90d": 2,
        "opened_30d": 1,
        "opened_90d": 1,
        "clicked_90d": 1,
        "open_rate_90d": pytest.approx(1 / 3),
        "click_rate_90d": pytest.approx(1 / 3),
        "email_open_rate_90d": 0.5,
        "days_since_contact": 6,
        "days_since_open": 27,
        "days_since_click": 27,
        "ignored_in_a_row": 2,
        "preferred_channel_365d": "email",
        "preferred_hour_365d": 20,
        "unsubscribed_email": True,
        "marked_as_spam": False,
        "days_since_opt_out": 3,
        "active_subscriptions": 2,
        "renewing_subscriptions": 1,
        "subscription_tenure_days": 335,
        "subscription_renewals": 1,
        "subscription_days_left": 29,  # to July 30
        "subscription_period_months": 12,
        "subscription_monthly_amount": 8.3333,
        "subscriptions_ended": 1,
        "days_since_subscription_end": 30,
        "days_since_cancellation": 30,
        "reviews_365d": 3,
        "days_since_review": 11,
        "mean_rating_365d": 3.25,  # six stars are none
        "lowest_rating_365d": 1.5,
        "last_rating": 1.5,
        "low_ratings_365d": 1,
        "complaints_365d": 2,
        "open_complaints": 2,
        "days_since_complaint": 21,
        "last_survey_score": 3.0,
        "days_since_survey": 10,
        "texts_365d": 2,
        "mean_content_365d": pytest.approx(float((a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1]))),
        "least_content_365d": float(b[0]),
        "last_text_content": float(a[0]),
        "last_text_confidence": float(a[1]),
        "discontent_share_365d": 0.5,
        "delivery_complaints_365d": 1,
        "quality_complaints_365d": 0,
        "service_complaints_365d": 0,
        "top_topic_365d": "delivery",  # as often as quality, and before it
        "top_complaint_topic_365d": "delivery",
        "recency_score": 4,  # reaches one of the bounds of that time
        "frequency_score": 4,
        "monetary_score": 3,
        "rfm_segment": "champions",
        "value_tier": "C",
        "lifecycle_stage": "repeat",
        "taste_cluster": None,  # tea and cake are in no centre
        "country": "France",
        "acquisition_channel": None,
        "newsletter": None,
        "known_days": 396,  # its first activity
    }
