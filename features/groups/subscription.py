"""Subscriptions: whether they are active, since when, for how much, and until when.

A subscription consists of the events with one reference; events without one form a single subscription. Its
latest start or renewal determines the end of the paid term: ``ends_at`` of its properties (ISO 8601; the day
as written, the first that is not paid), else ``period_months`` from its own day on, else it is unknown and
the subscription is active until an event ends it.

A subscription is active until that day and ``GRACE_DAYS`` longer, in which a late payment renews it. A
cancellation is a notice: it ends the subscription on its own ``ends_at``, else at the end of the paid term,
else at once. A later renewal or start withdraws it. "Ended" and "expired" end the subscription the same day.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from events.taxonomy import SUBSCRIPTIONS
from features.group import KEYS, FeatureGroup

GRACE_DAYS = 14
DAYS_IN_16_MONTHS = 487
PAID = ("subscription_started", "subscription_renewed")
# Texts of the JSON that ``properties`` is: an expression of both engines, and of no extension.
_ENDS_AT = r'"ends_at"\s*:\s*"((?:19|20)\d\d-\d\d-\d\d)'
_PERIOD = r'"period_months"\s*:\s*"?([1-9]\d{0,2})"?\s*[,}]'
_ONE = [*KEYS, "reference"]

subscription = FeatureGroup("subscription", fresh_for=timedelta(days=2))


@subscription.table
def terms(activities: ir.Table) -> ir.Table:
    """Each event of a subscription; ``ends_in`` is the days from as_of to the end that it states."""
    changes = activities.filter(activities.kind.isin(SUBSCRIPTIONS))
    first_day = ibis.date("1970-01-01")
    months = changes.properties.re_extract(_PERIOD, 1).try_cast("int32")
    changes = changes.mutate(paid=changes.kind.isin(PAID), months=months)
    ends_on = changes.properties.re_extract(_ENDS_AT, 1).try_cast("date")
    after = first_day + changes.day.as_interval("D") + changes.months.as_interval("M")
    until = ibis.coalesce(ends_on, ibis.ifelse(changes.paid, after, None))
    ends_in = until.delta(first_day, unit="day") - changes.day - changes.days_ago
    return changes.select(
        *_ONE, "timestamp", "kind", "days_ago", "amount", "paid", "months", ends_in=ends_in
    ).distinct()


@subscription.table
def latest(terms: ir.Table) -> ir.Table:
    """The events of each subscription since it last started, and which of them still count."""
    started = terms.timestamp.max(where=terms.kind == "subscription_started")
    window = ibis.window(group_by=_ONE)
    known = terms.mutate(
        started_at=started.over(window), paid_at=terms.timestamp.max(where=terms.paid).over(window)
    )
    since = known.filter(known.started_at.isnull() | (known.timestamp >= known.started_at))
    standing = since.paid_at.isnull() | (since.timestamp >= since.paid_at)
    return since.mutate(
        payment=since.paid & (since.timestamp == since.paid_at),
        notice=standing & (since.kind == "subscription_cancelled"),
        ended=standing & (since.kind == "subscription_ended"),
    )


@subscription.table
def stated(latest: ir.Table) -> ir.Table:
    """One row per subscription: the facts of its latest payment and of the events after it."""
    return latest.group_by(_ONE).aggregate(
        began_days_ago=latest.days_ago.max(),
        renewals=latest.timestamp.nunique(where=latest.kind == "subscription_renewed"),
        paid_days_ago=latest.days_ago.min(where=latest.payment),
        paid_ends_in=latest.ends_in.max(where=latest.payment),
        amount=latest.amount.max(where=latest.payment),
        period=latest.months.max(where=latest.payment),
        notice_days_ago=latest.days_ago.max(where=latest.notice),
        notice_ends_in=latest.ends_in.max(where=latest.notice),
        ended_days_ago=latest.days_ago.max(where=latest.ended),
    )


@subscription.table
def subscriptions(stated: ir.Table) -> ir.Table:
    """One row per subscription: the days to its end, if known, and whether it is active."""
    noticed, at_once = stated.notice_days_ago.notnull(), -stated.notice_days_ago
    paid_ends_in = ibis.ifelse(stated.paid_ends_in > at_once, stated.paid_ends_in, at_once)
    of_itself = ibis.ifelse(noticed, ibis.coalesce(stated.notice_ends_in, paid_ends_in), stated.paid_ends_in)
    over = stated.ended_days_ago.notnull()
    ends_in = ibis.ifelse(over, -stated.ended_days_ago, of_itself)
    grace = ibis.ifelse(noticed | over, 0, GRACE_DAYS)
    term = stated.paid_ends_in + stated.paid_days_ago
    about = ((term * 16).cast("float64") / DAYS_IN_16_MONTHS).round().cast("int64")
    period = ibis.coalesce(stated.period.cast("int64"), ibis.ifelse(about < 1, 1, about))
    active = (ends_in + grace > 0).fill_null(True) & ~over
    return stated.mutate(
        ends_in=ends_in,
        period=period,
        active=active,
        renewing=active & ~noticed,
        units=(stated.amount * 10_000).cast("int64") // period.fill_null(1),
    )


@subscription.feature(unit="subscriptions", missing=0)
def active_subscriptions(subscriptions: ir.Table) -> ir.IntegerValue:
    """Active subscriptions, those under notice too."""
    return subscriptions.count(where=subscriptions.active)


@subscription.feature(unit="subscriptions", missing=0)
def renewing_subscriptions(subscriptions: ir.Table) -> ir.IntegerValue:
    """Active subscriptions of which no notice was given."""
    return subscriptions.count(where=subscriptions.renewing)


@subscription.feature(unit="days")
def subscription_tenure_days(subscriptions: ir.Table) -> ir.IntegerValue:
    """Days since the longest held of the active subscriptions last started; null when none is active."""
    return subscriptions.began_days_ago.max(where=subscriptions.active)


@subscription.feature(unit="renewals", missing=0)
def subscription_renewals(subscriptions: ir.Table) -> ir.IntegerValue:
    """Renewals of the active subscriptions since they last started."""
    return subscriptions.renewals.sum(where=subscriptions.active)


@subscription.feature(unit="days")
def subscription_days_left(subscriptions: ir.Table) -> ir.IntegerValue:
    """Days until the first of the active subscriptions reaches its end or its renewal.

    Below 0 the renewal is overdue; null when no such day is known.
    """
    return subscriptions.ends_in.min(where=subscriptions.active)


@subscription.feature(unit="months")
def subscription_period_months(subscriptions: ir.Table) -> ir.IntegerValue:
    """Months between renewals of the active subscription that is paid for longest; null when not known.

    As its events say, else by the length of the paid term.
    """
    return subscriptions.period.max(where=subscriptions.active)


@subscription.feature(unit="currency", missing=0)
def subscription_monthly_amount(subscriptions: ir.Table) -> ir.FloatingValue:
    """Paid for active subscriptions per month, each cut to 1/10,000; of unknown periods, per payment."""
    return subscriptions.units.sum(where=subscriptions.active).cast("float64") / 10_000


@subscription.feature(unit="subscriptions", missing=0)
def subscriptions_ended(subscriptions: ir.Table) -> ir.IntegerValue:
    """Subscriptions ended so far and not taken up again."""
    return subscriptions.count(where=~subscriptions.active)


@subscription.feature(unit="days")
def days_since_subscription_end(subscriptions: ir.Table) -> ir.IntegerValue:
    """Days since a subscription last ended; null when none did.

    For want of a renewal it ended where what was paid did, which is said 14 days later.
    """
    return (-subscriptions.ends_in).min(where=~subscriptions.active)


@subscription.feature(unit="days")
def days_since_cancellation(terms: ir.Table) -> ir.IntegerValue:
    """Days since a subscription was last cancelled, also if that was withdrawn; null if none ever was."""
    return terms.days_ago.min(where=terms.kind == "subscription_cancelled")
