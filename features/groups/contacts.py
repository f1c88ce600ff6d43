"""Messages that the company sent to customers, and their responses: opened, clicked, unsubscribed.

The events of one channel, reference and day are one message, so that "sent" and "delivered" count once;
without references, those of one channel and day are. A response belongs to the latest message of its channel
and reference before it. A click counts as an opening too, since images may be blocked and a push is only
tapped. Bounced messages do not count as sent.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from events.taxonomy import CONTACTS
from features.group import KEYS, FeatureGroup

RESPONSES = ("opened", "clicked")

contacts = FeatureGroup("contacts", fresh_for=timedelta(days=2))


@contacts.table
def numbered(activities: ir.Table) -> ir.Table:
    """Each event about a message, with the number of its message in its channel and reference.

    0 for a response before any message.
    """
    events = activities.filter(activities.kind.isin(("sent", *RESPONSES, "bounced")))
    events = events.select(
        *KEYS, "channel", "reference", "timestamp", "day", "days_ago", "hour", "kind"
    ).distinct()
    events = events.mutate(
        sent_day=ibis.ifelse(events.kind == "sent", events.day, None), later=events.kind != "sent"
    )
    one, order = [*KEYS, "channel", "reference"], [events.timestamp, events.later, events.kind]
    before = ibis.window(group_by=one, order_by=order, preceding=(None, 1))
    begins = events.sent_day.notnull() & (events.sent_day > events.sent_day.max().over(before)).fill_null(
        True
    )
    begun = events.mutate(begins=begins.cast("int64"))
    so_far = ibis.window(
        group_by=one, order_by=[begun.timestamp, begun.later, begun.kind], preceding=(None, 0)
    )
    return begun.mutate(number=begun.begins.sum().over(so_far))


@contacts.table
def messages(numbered: ir.Table) -> ir.Table:
    """One row per message: when it was sent, if it was, and how long ago it was last opened and clicked."""
    sent, opened = numbered.kind == "sent", numbered.kind.isin(RESPONSES)
    by_message = numbered.group_by([*KEYS, "channel", "reference", "number"]).aggregate(
        sent_at=numbered.timestamp.min(where=sent),
        sent_days_ago=numbered.days_ago.max(where=sent),
        responded_at=numbered.timestamp.max(where=opened),
        opened_days_ago=numbered.days_ago.min(where=opened),
        clicked_days_ago=numbered.days_ago.min(where=numbered.kind == "clicked"),
        bounced=(numbered.kind == "bounced").any(),
    )
    return by_message.mutate(
        sent_at=ibis.ifelse(by_message.bounced, None, by_message.sent_at),
        sent_days_ago=ibis.ifelse(by_message.bounced, None, by_message.sent_days_ago),
    )


@contacts.table
def unanswered(messages: ir.Table) -> ir.Table:
    """One row per message that was sent after the customer's latest response, if there was one."""
    latest = messages.responded_at.max().over(group_by=list(KEYS))
    known = messages.mutate(latest=latest)
    return known.filter(known.sent_at.notnull() & (known.latest.isnull() | (known.sent_at > known.latest)))


@contacts.table
def channels(messages: ir.Table) -> ir.Table:
    """One row per channel used in the last 365 days: messages opened, and its place by what was done."""
    recent = messages.filter(messages.sent_days_ago <= 365, messages.channel.notnull())
    by_channel = recent.group_by([*KEYS, "channel"]).aggregate(
        sent=recent.count().cast("float64"),
        opened=recent.opened_days_ago.count(),
        clicked=recent.clicked_days_ago.count(),
    )
    best_first = [
        (by_channel.clicked / by_channel.sent).desc(),
        (by_channel.opened / by_channel.sent).desc(),
        by_channel.channel,
    ]
    return by_channel.mutate(place=ibis.row_number().over(group_by=list(KEYS), order_by=best_first))


@contacts.table
def response_hours(numbered: ir.Table) -> ir.Table:
    """One row per hour of the day of responses in the last 365 days, and its place by their number."""
    recent = numbered.filter(numbered.kind.isin(RESPONSES), numbered.days_ago <= 365)
    by_hour = recent.group_by([*KEYS, "hour"]).aggregate(responses=recent.timestamp.nunique())
    most_first = [by_hour.responses.desc(), by_hour.hour]
    return by_hour.mutate(place=ibis.row_number().over(group_by=list(KEYS), order_by=most_first))


@contacts.table
def refusals(activities: ir.Table) -> ir.Table:
    """Each event of a message, and whether it is an opt-out."""
    contacts = activities.filter(activities.kind.isin(CONTACTS))
    return contacts.mutate(
        spam=contacts.kind == "marked_as_spam", unsubscribed=contacts.kind == "unsubscribed"
    )


def _share_90d(messages: ir.Table, done: ir.BooleanValue, among: ir.BooleanValue | None = None) -> ir.Value:
    """Share of the messages sent in the last 90 days; null when none was."""
    sent = messages.sent_days_ago <= 90
    sent = sent if among is None else sent & among
    part = messages.count(where=sent & done).cast("float64")
    return part / messages.count(where=sent).cast("float64").nullif(0)


@contacts.feature(unit="messages", missing=0)
def contacts_7d(messages: ir.Table) -> ir.IntegerValue:
    """Messages sent to the customer in the last 7 days."""
    return messages.count(where=messages.sent_days_ago <= 7)


@contacts.feature(unit="messages", missing=0)
def contacts_30d(messages: ir.Table) -> ir.IntegerValue:
    """Messages sent to the customer in the last 30 days."""
    return messages.count(where=messages.sent_days_ago <= 30)


@contacts.feature(unit="messages", missing=0)
def contacts_90d(messages: ir.Table) -> ir.IntegerValue:
    """Messages sent to the customer in the last 90 days."""
    return messages.count(where=messages.sent_days_ago <= 90)


@contacts.feature(unit="messages", missing=0)
def emails_90d(messages: ir.Table) -> ir.IntegerValue:
    """Emails sent to the customer in the last 90 days."""
    return messages.count(where=(messages.channel == "email") & (messages.sent_days_ago <= 90))


@contacts.feature(unit="messages", missing=0)
def opened_30d(messages: ir.Table) -> ir.IntegerValue:
    """Messages opened or clicked in the last 30 days, whenever they were sent."""
    return messages.count(where=messages.opened_days_ago <= 30)


@contacts.feature(unit="messages", missing=0)
def opened_90d(messages: ir.Table) -> ir.IntegerValue:
    """Messages opened or clicked in the last 90 days, whenever they were sent."""
    return messages.count(where=messages.opened_days_ago <= 90)


@contacts.feature(unit="messages", missing=0)
def clicked_90d(messages: ir.Table) -> ir.IntegerValue:
    """Messages clicked in the last 90 days, whenever they were sent."""
    return messages.count(where=messages.clicked_days_ago <= 90)


@contacts.feature(unit="share")
def open_rate_90d(messages: ir.Table) -> ir.FloatingValue:
    """Share of the messages sent in the last 90 days that were opened or clicked; null when none was sent."""
    return _share_90d(messages, messages.opened_days_ago.notnull())


@contacts.feature(unit="share")
def click_rate_90d(messages: ir.Table) -> ir.FloatingValue:
    """Share of the messages sent in the last 90 days that were clicked; null when none was sent."""
    return _share_90d(messages, messages.clicked_days_ago.notnull())


@contacts.feature(unit="share")
def email_open_rate_90d(messages: ir.Table) -> ir.FloatingValue:
    """Share of the emails sent in the last 90 days that were opened or clicked; null when none was sent."""
    return _share_90d(messages, messages.opened_days_ago.notnull(), messages.channel == "email")


@contacts.feature(unit="days")
def days_since_contact(messages: ir.Table) -> ir.IntegerValue:
    """Days since the latest message was sent; null when none ever was."""
    return messages.sent_days_ago.min()


@contacts.feature(unit="days")
def days_since_open(messages: ir.Table) -> ir.IntegerValue:
    """Days since a message was last opened or clicked; null when none ever was."""
    return messages.opened_days_ago.min()


@contacts.feature(unit="days")
def days_since_click(messages: ir.Table) -> ir.IntegerValue:
    """Days since a message was last clicked; null when none ever was."""
    return messages.clicked_days_ago.min()


@contacts.feature(unit="messages", missing=0)
def ignored_in_a_row(unanswered: ir.Table) -> ir.IntegerValue:
    """Messages sent since the customer last opened or clicked one; all so far if they never did."""
    return unanswered.count()


@contacts.feature(unit="channel")
def preferred_channel_365d(channels: ir.Table) -> ir.StringValue:
    """The channel of which the largest share of the last 365 days' messages was clicked.

    Of equals the one of which more was opened, then the first by name; null when nothing was opened.
    """
    return channels.channel.max(where=(channels.place == 0) & (channels.opened > 0))


@contacts.feature(unit="hour")
def preferred_hour_365d(response_hours: ir.Table) -> ir.IntegerValue:
    """The shop's hour of the day (0 to 23) of most openings and clicks in the last 365 days.

    Of equals the earliest; null when nothing was opened.
    """
    return response_hours.hour.max(where=response_hours.place == 0)


@contacts.feature(unit="yes or no")
def unsubscribed_email(refusals: ir.Table) -> ir.BooleanValue:
    """Whether the customer ever unsubscribed from emails; null when no message is known."""
    return (refusals.unsubscribed & (refusals.channel == "email")).fill_null(False).any()


@contacts.feature(unit="yes or no")
def marked_as_spam(refusals: ir.Table) -> ir.BooleanValue:
    """Whether the customer ever marked a message as spam; null when no message is known."""
    return refusals.spam.any()


@contacts.feature(unit="days")
def days_since_opt_out(refusals: ir.Table) -> ir.IntegerValue:
    """Days since the customer last unsubscribed from a channel or marked a message as spam, if ever."""
    return refusals.days_ago.min(where=refusals.spam | refusals.unsubscribed)
