"""Subscriptions of the simulated customers: free delivery, and for some a box of samples.

Fees are paid monthly or yearly until the customer leaves. Leaving is predictable: customers who have stopped
ordering, or who recently received a refund, are more likely to leave. Each customer has a separate random
stream for subscriptions, so that all other events do not depend on it.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa

from events.simulation.orders import Batch
from events.simulation.truth import Customer, Plan, ShopTime, delay_s
from events.taxonomy import MEANINGS

STREAM = 5  # after those of the other activities
BOX_SHARE, BOX_AFTER_DAYS = 0.3, 21.0  # of the subscribers, and how much later
YEARLY_SHARE, MONTHLY_CENTS, YEARLY_CENTS = 0.25, 490, 4900
# The probability to leave within a month, by customer, and what is added to it.
LEAVE_MEAN, LEAVE_CONCENTRATION = 0.03, 12.0
GONE, REFUNDED, REFUND_DAYS, MOST = 0.3, 0.25, 45.0, 0.95
NOTICE_SHARE = 0.7  # of those who leave; the others just do not pay again
NOTICE_DAYS = (0.5, 10.0)  # before the end of what is paid; by then all have made up their minds
SIGN_UP = 2 / 1440  # days after the first order


@dataclass(frozen=True)
class SubscriptionEvent:
    """Something that happened to a subscription; moments are those of :class:`ShopTime`."""

    name: str
    reference: str
    moment: float
    delay_s: int
    cents: int | None
    properties: str


@dataclass(frozen=True)
class Subscriber:
    """One customer's subscriptions to the end of time; the first begins with the first order.

    Attributes:
        leave_probability: per month and subscription, for a customer who orders and got no recent refund.
        ended: the end of the last paid time; may be past the end of time, and infinite for those who stay.
    """

    leave_probability: float
    ended: float
    events: tuple[SubscriptionEvent, ...]


@dataclass(frozen=True)
class _Life:
    """What the decision to leave depends on."""

    leaves: float
    dropout: float
    refunds: Sequence[float]

    def rate(self, at: float) -> float:
        """The probability to leave within a month, as of a moment."""
        lately = any(at - REFUND_DAYS <= refund < at for refund in self.refunds)
        return min(self.leaves + GONE * (self.dropout < at) + REFUNDED * lately, MOST)


def subscribers(batch: Batch, plan: Plan, time: ShopTime) -> list[Subscriber | None]:
    """Those of a batch's customers, in their order; None for who never subscribes."""
    refunds: list[list[float]] = [[] for _ in batch.customers]
    for who, refund in zip(batch.buyers, batch.refunds, strict=True):
        refunds[who].append(refund)
    lives = zip(batch.numbers, batch.customers, batch.dropouts, refunds, strict=True)
    return [_subscriber(plan, time, *life) for life in lives]


def _subscriber(
    plan: Plan, time: ShopTime, number: int, customer: Customer, dropout: float, refunds: list[float]
) -> Subscriber | None:
    rng = np.random.default_rng([plan.seed, number, STREAM])
    joins, period, box = rng.random(3)
    if joins >= plan.subscriber_share or np.isinf(customer.first_order):
        return None
    a = LEAVE_MEAN * LEAVE_CONCENTRATION
    life = _Life(float(rng.beta(a, LEAVE_CONCENTRATION - a)), dropout, refunds)
    began, months = customer.first_order + SIGN_UP, 12 if period < YEARLY_SHARE else 1
    first, second = rng.spawn(2)
    events, ended = _terms(first, plan, time, life, f"S{number:06d}", began, months)
    if box < BOX_SHARE:
        more, last = _terms(second, plan, time, life, f"B{number:06d}", began + BOX_AFTER_DAYS, 1)
        events, ended = events + more, max(ended, last)
    return Subscriber(life.leaves, ended, tuple(events))


def _terms(
    rng: np.random.Generator,
    plan: Plan,
    time: ShopTime,
    life: _Life,
    reference: str,
    began: float,
    months: int,
) -> tuple[list[SubscriptionEvent], float]:  # fmt: skip
    """The events of one subscription, and the end of its paid time; infinite if it is never cancelled."""
    events: list[SubscriptionEvent] = []
    at, cents = began, YEARLY_CENTS if months == 12 else MONTHLY_CENTS
    for nth in count(1):
        if at >= time.end:
            break
        u = rng.random(5)
        ends_on = months_after(plan.start + timedelta(days=int(began)), nth * months)
        ends = (ends_on - plan.start).days + began % 1
        properties = json.dumps(
            {"subscription_id": reference, "period_months": months, "ends_at": f"{ends_on}"}
        )
        name = "Subscription Started" if nth == 1 else "Subscription Renewed"
        events.append(SubscriptionEvent(name, reference, at, delay_s(plan, u[0], u[1]), cents, properties))
        decides = ends - NOTICE_DAYS[0] - (NOTICE_DAYS[1] - NOTICE_DAYS[0]) * float(u[2])
        if u[3] < 1 - (1 - life.rate(decides)) ** months:
            if u[4] < NOTICE_SHARE and decides < time.end:
                events.append(
                    SubscriptionEvent("Subscription Cancelled", reference, decides, 0, None, properties)
                )
            return events, ends
        at = ends
    return events, float("inf")


def months_after(day: date, months: int) -> date:
    """The same day ``months`` months later, or the last day of a shorter month."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(years, month + 1, min(day.day, calendar.monthrange(years, month + 1)[1]))


def subscription_columns(
    subscribers: Iterable[Subscriber | None], time: ShopTime, ids: Sequence[str]
) -> dict[str, Any]:
    """The subscription events as columns of ``activities``."""
    lives = zip(ids, subscribers, strict=True)
    rows = [
        (customer_id, event)
        for customer_id, subscriber in lives
        for event in (subscriber.events if subscriber else ())
    ]
    events = [event for _, event in rows]
    seconds = time.utc_seconds(np.array([event.moment for event in events], float))
    return {
        "customer_id": [customer_id for customer_id, _ in rows],
        "timestamp": seconds,
        "received_at": seconds + np.array([event.delay_s for event in events], np.int64),
        "name": [event.name for event in events],
        "kind": [MEANINGS[event.name].kind for event in events],
        "channel": ["web"] * len(rows),
        "reference": [event.reference for event in events],
        "product_id": pa.nulls(len(rows), pa.string()),
        "category": pa.nulls(len(rows), pa.string()),
        "amount": [event.cents for event in events],
        "properties": [event.properties for event in events],
    }
