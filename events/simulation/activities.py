"""Activities of the simulated customers besides orders: visits, carts, and reactions to messages.

Orders do not depend on activities: each customer has four further random streams, one for their habits, and
one each for orders, weeks and mailings with a row of uniform numbers per item. A longer run has more rows.
A customer has no activities before they arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.calendar import EPOCH, date_of
from events.simulation.orders import Batch, delays_s
from events.simulation.truth import (
    CATEGORIES,
    HOURS_SO_FAR,
    PRODUCTS_PER_CATEGORY,
    Floats,
    Ints,
    Plan,
    ShopTime,
)
from events.taxonomy import MEANINGS

Bools = NDArray[np.bool_]
HABITS, ORDERS, WEEKS, MAILINGS = 1, 2, 3, 4  # the streams, from 1: a last 0 would not make another
APP_SHARE, SPAM_SHARE = 0.3, 0.2  # of all customers; of those who unsubscribe
BROWSING = 1.2  # visits without an order, per order that is expected of an active customer
# Customers who dropped out browse at this share of their rate, fading within so many days, and open less.
ASLEEP, ASLEEP_DAYS, ASLEEP_OPENS = 0.3, 60.0, 0.4
MAILING_WEEKS = (8, 13, 22, 35, 40, 50)  # ISO weeks with an email besides those of campaigns
EMAIL_AT, PUSH_AT = 1 + 10 / 24, 4 + 18 / 24  # days after the beginning of Monday
MINUTE = 1 / 1440


@dataclass(frozen=True)
class Habits:
    """The true habits of customers regarding messages.

    Attributes:
        open_probability: of an email, while active.
        click_probability: of an opened email, and of a push message, while active.
        uses_app: visits through the app and receives push messages. marks_as_spam: when unsubscribing.
    """

    open_probability: Floats
    click_probability: Floats
    uses_app: Bools
    marks_as_spam: Bools

    @classmethod
    def of(cls, plan: Plan, numbers: list[int]) -> Habits:
        """The habits of the customers with these numbers."""
        rngs = [_stream(plan, number, HABITS) for number in numbers]
        drawn = [(rng.beta(2.2, 3.8), rng.beta(2.0, 4.0), *rng.random(2)) for rng in rngs]
        opens, clicks, app, spam = np.array(drawn, float).reshape(-1, 4).T
        return cls(opens, clicks, app < APP_SHARE, spam < SPAM_SHARE)


@dataclass
class _ActivityRows:
    """Activities as growing columns; ``who`` are positions in the batch."""

    who: list[Ints] = field(default_factory=list)
    moments: list[Floats] = field(default_factory=list)
    delays_s: list[Ints] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # one for each part
    products: list[Ints] = field(default_factory=list)  # -1 for none
    mailings: list[Ints] = field(default_factory=list)  # -1 for none

    def add(
        self, name: str, where: Bools, who: Ints, moments: Floats, delays_s: Ints,
        products: Ints | None = None, mailings: Ints | None = None,
    ) -> None:  # fmt: skip
        """Add an activity for every row for which ``where`` is true."""
        rows = np.flatnonzero(where)
        self.who.append(who[rows])
        self.moments.append(moments[rows])
        self.delays_s.append(delays_s[rows])
        self.names.append(name)
        none = np.full(len(rows), -1)
        self.products.append(none if products is None else products[rows])
        self.mailings.append(none if mailings is None else mailings[rows])


def activity_columns(
    batch: Batch, habits: Habits, plan: Plan, time: ShopTime, ids: Any, products: Ints
) -> dict[str, Any]:
    """The columns of ``activities``.

    Args:
        ids: the customers' ids.
        products: the first product of each order, by number.
    """
    activities, mailings = _ActivityRows(), _mailing_plan(plan, time)
    _visits_to_order(activities, batch, habits, plan, products)
    _browsing(activities, batch, habits, plan, time)
    _mailings(activities, batch, habits, plan, mailings)
    _refusals(activities, batch, habits, time)

    who, moments = np.concatenate(activities.who), np.concatenate(activities.moments)
    arrivals = np.array([c.arrival for c in batch.customers], float)
    visible = np.flatnonzero((moments < time.end) & (moments >= arrivals[who]))
    part = np.repeat(np.arange(len(activities.names)), [len(rows) for rows in activities.who])[visible]
    meanings = [MEANINGS[name] for name in activities.names]
    who, product = who[visible], np.concatenate(activities.products)[visible]
    seconds = time.utc_seconds(moments[visible])
    # If the name does not imply the channel, it is the web or the app.
    words = np.array([meaning.channel is not None for meaning in meanings])
    channel = np.where(words[part], part, len(meanings) + habits.uses_app[who])
    codes = [f"{c}-{i + 1:02d}" for c in CATEGORIES for i in range(PRODUCTS_PER_CATEGORY)]
    return {
        "customer_id": _words(ids, who),
        "timestamp": seconds,
        "received_at": seconds + np.concatenate(activities.delays_s)[visible],
        "name": _words(activities.names, part),
        "kind": _words([meaning.kind for meaning in meanings], part),
        "channel": _words([*(meaning.channel for meaning in meanings), "web", "app"], channel),
        "reference": _words(
            [mailing.reference for mailing in mailings], np.concatenate(activities.mailings)[visible]
        ),
        "product_id": _words(codes, product),
        "category": _words(list(CATEGORIES), product // PRODUCTS_PER_CATEGORY),
        "amount": pa.nulls(len(visible), pa.int64()),
        "properties": pa.nulls(len(visible), pa.string()),
    }


def _words(words: Sequence[str | None], codes: Ints) -> pa.Array:
    """The words with these numbers; none for numbers below 0."""
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string())).dictionary_decode()


def _stream(plan: Plan, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, number, stream])


def _rows(batch: Batch, plan: Plan, stream: int, counts: Ints, draws: int) -> tuple[Ints, Ints, Floats]:
    """(customer, index within the customer, uniform numbers) for the given number of rows per customer."""
    drawn = [
        _stream(plan, number, stream).random((count, draws))
        for number, count in zip(batch.numbers, counts.tolist(), strict=True)
    ]
    who = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
    return who, nth, np.concatenate(drawn) if drawn else np.empty((0, draws))


def _begin(
    activities: _ActivityRows, habits: Habits, where: Bools, who: Ints, at: Floats, delays: Ints
) -> None:
    for name, in_app in (("Page Viewed", False), ("Screen Viewed", True)):
        activities.add(name, where & (habits.uses_app[who] == in_app), who, at, delays)


def _visits_to_order(
    activities: _ActivityRows, batch: Batch, habits: Habits, plan: Plan, product: Ints
) -> None:
    """A visit before each order, on the same day: a product viewed, added to the cart and paid."""
    counts = np.bincount(np.array(batch.buyers, np.int64), minlength=len(batch.numbers))
    who, _, u = _rows(batch, plan, ORDERS, counts, 5)
    ordered = np.array(batch.moments, float)
    arrivals = np.array([c.arrival for c in batch.customers], float)[who]
    begun = np.maximum(np.maximum(np.floor(ordered), arrivals), ordered - (4 + 26 * u[:, 0]) * MINUTE)
    delays = delays_s(plan, u[:, 1], u[:, 2])
    every = np.ones(len(who), bool)
    similar = product - product % PRODUCTS_PER_CATEGORY + (u[:, 3] * PRODUCTS_PER_CATEGORY).astype(np.int64)

    def at(share: float) -> Floats:
        moments: Floats = begun + share * (ordered - begun)
        return moments

    _begin(activities, habits, every, who, begun, delays)
    activities.add("Product Viewed", u[:, 4] < 0.5, who, at(0.2), delays, similar)
    activities.add("Product Viewed", every, who, at(0.4), delays, product)
    activities.add("Product Added", every, who, at(0.6), delays, product)
    activities.add("Checkout Started", every, who, at(0.8), delays)


def _browsing(activities: _ActivityRows, batch: Batch, habits: Habits, plan: Plan, time: ShopTime) -> None:
    """At most one visit a week without an order: products viewed, some carts abandoned."""
    first_days = np.floor([c.arrival for c in batch.customers])
    counts = np.ceil((time.end - first_days) / 7).astype(np.int64)
    who, week, u = _rows(batch, plan, WEEKS, counts, 9)
    hour = np.interp(u[:, 1] * 7 % 1, HOURS_SO_FAR, np.arange(25) / 24)
    began = first_days[who] + 7 * week + np.floor(u[:, 1] * 7) + hour
    rate = BROWSING * 7 * np.array([c.rate_per_day for c in batch.customers], float)[who]
    gone = began - np.array(batch.dropouts, float)[who]
    awake = np.where(gone > 0, ASLEEP * np.exp(-np.maximum(gone, 0) / ASLEEP_DAYS), 1.0)
    here = np.flatnonzero(u[:, 0] < -np.expm1(-rate * awake))
    who, began, u = who[here], began[here], u[here]
    delays = delays_s(plan, u[:, 2], u[:, 3])
    taste = np.array([c.taste for c in batch.customers], float).reshape(-1, len(CATEGORIES))[who]
    category = (u[:, 4, None] >= taste[:, :-1]).sum(axis=1)
    place = (u[:, 5] * PRODUCTS_PER_CATEGORY).astype(np.int64)
    every = np.ones(len(who), bool)
    _begin(activities, habits, every, who, began, delays)
    activities.add("Products Searched", u[:, 6] < 0.5, who, began + MINUTE, delays)
    for i in range(3):
        product = category * PRODUCTS_PER_CATEGORY + (place + i) % PRODUCTS_PER_CATEGORY
        activities.add("Product Viewed", u[:, 7] * 3 >= i, who, began + (2 + 3 * i) * MINUTE, delays, product)
    product = category * PRODUCTS_PER_CATEGORY + place
    activities.add("Product Added", u[:, 8] < 0.3, who, began + 10 * MINUTE, delays, product)
    activities.add("Checkout Started", u[:, 8] < 0.1, who, began + 12 * MINUTE, delays)


@dataclass(frozen=True)
class _Mailing:
    moment: float
    is_email: bool
    reference: str


def _mailing_plan(plan: Plan, time: ShopTime) -> list[_Mailing]:
    """All mailings, earliest first: emails in some weeks, push messages in campaigns."""
    first = (plan.start - EPOCH).days
    mailings: list[_Mailing] = []
    for monday in range(-date_of(first).weekday(), int(time.end), 7):
        on = date_of(first + monday)
        if on.isocalendar().week in (*MAILING_WEEKS, *plan.campaign_weeks):
            mailings.append(_Mailing(monday + EMAIL_AT, True, f"newsletter-{on}"))
        if on.isocalendar().week in plan.campaign_weeks:
            mailings.append(_Mailing(monday + PUSH_AT, False, f"push-{on}"))
    return mailings


def _mailings(
    activities: _ActivityRows, batch: Batch, habits: Habits, plan: Plan, mailings: list[_Mailing]
) -> None:
    """Emails to subscribers, and in campaigns push messages to app users; some are opened and clicked."""
    moments = np.array([mailing.moment for mailing in mailings], float)
    after = np.searchsorted(moments, [c.arrival for c in batch.customers])
    who, nth, u = _rows(batch, plan, MAILINGS, len(mailings) - after, 4)
    number = after[who] + nth
    at, is_email = moments[number], np.array([mailing.is_email for mailing in mailings], bool)[number]
    dropouts = np.array(batch.dropouts, float)
    began = np.array([c.newsletter for c in batch.customers], bool)[who]
    subscribed = began != (at >= _changes(batch)[who])
    received, at_once = np.where(is_email, subscribed, habits.uses_app[who]), np.zeros(len(who), np.int64)
    awake = np.where(at < dropouts[who], 1.0, ASLEEP_OPENS)
    opens = received & is_email & (u[:, 0] < habits.open_probability[who] * awake)
    opened_at = at + 5 * MINUTE - np.log1p(-u[:, 1]) / 4  # six hours on average
    clicks = opens & (u[:, 2] < habits.click_probability[who])
    taps = received & ~is_email & (u[:, 0] < habits.click_probability[who] * awake)
    clicked_at = opened_at + (0.5 + 5 * u[:, 3]) * MINUTE
    for name, where, moment in (
        ("Email Sent", received & is_email, at),
        ("Email Opened", opens, opened_at),
        ("Email Link Clicked", clicks, clicked_at),
        ("Push Notification Sent", received & ~is_email, at),
        ("Push Notification Tapped", taps, clicked_at),
    ):
        activities.add(name, where, who, moment, at_once, mailings=number)


def _changes(batch: Batch) -> Floats:
    """When each customer changes their mind about the newsletter."""
    pairs = zip(batch.customers, batch.dropouts, strict=True)
    return np.array([customer.newsletter_changes_at(dropout) for customer, dropout in pairs], float)


def _refusals(activities: _ActivityRows, batch: Batch, habits: Habits, time: ShopTime) -> None:
    """Customers who leave the newsletter unsubscribe, and some mark it as spam."""
    who, changes = np.arange(len(batch.numbers)), _changes(batch)
    leaves = np.array([c.newsletter for c in batch.customers], bool) & (changes < time.end)
    at_once = np.zeros(len(who), np.int64)
    activities.add("Unsubscribed", leaves, who, changes, at_once)
    activities.add("Email Marked as Spam", leaves & habits.marks_as_spam, who, changes, at_once)
