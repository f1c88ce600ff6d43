"""What results are computed from, out of the decision log, as data frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import sqlalchemy as sa

from core.calendar import micros
from records.contacts.contact import ASSUMED
from records.contacts.tables import contacts
from records.decisions import DecisionLog
from records.tables import conversions, decisions, outcomes


@dataclass(frozen=True, slots=True)
class Sending:
    """A contact, as an event of the customer.

    Attributes:
        at_us: when it was sent, shown or exported, in microseconds.
        clicked_us: the first outcome ``clicked`` or ``accepted``; None without one.
    """

    decision_id: str
    customer_key: int
    channel: str
    at_us: int
    clicked_us: int | None


def read_contacts(log: DecisionLog) -> pd.DataFrame:
    """All contacts, by time: ``customer_key``, ``decision_id``, ``action``, ``at`` (UTC, without a zone) and
    ``cost`` in currency.
    """
    statement = (
        sa.select(
            contacts.c.customer_key,
            contacts.c.decision_id,
            contacts.c.action,
            contacts.c.at_us,
            decisions.c.cost,
        )
        .select_from(contacts.join(decisions, decisions.c.id == contacts.c.decision_id))
        .order_by(contacts.c.at_us, contacts.c.decision_id)
    )
    with log.reading() as connection:
        rows = connection.execute(statement).cursor.fetchall()
    frame = pd.DataFrame(rows, columns=["customer_key", "decision_id", "action", "at_us", "cost"])
    return _with_moments(frame.astype({"customer_key": "int64", "at_us": "int64", "cost": "float64"}))


def count_contacts(log: DecisionLog, since: datetime) -> dict[str, dict[str, int]]:
    """By action, how many contacts there were from ``since`` on (``sent``), and how many of them were
    ``accepted``: reported as accepted or converted, or followed by an order.
    """
    took = sa.exists().where(
        outcomes.c.decision_id == contacts.c.decision_id, outcomes.c.kind.in_(("accepted", "converted"))
    ) | sa.exists().where(conversions.c.decision_id == contacts.c.decision_id)
    statement = (
        sa.select(contacts.c.action, sa.func.count(), sa.func.sum(sa.case((took, 1), else_=0)))
        .where(contacts.c.at_us >= micros(since))
        .group_by(contacts.c.action)
    )
    with log.reading() as connection:
        return {row[0]: {"sent": row[1], "accepted": int(row[2])} for row in connection.execute(statement)}


def read_sendings(log: DecisionLog, channels: Sequence[str], until: datetime) -> list[Sending]:
    """The contacts of these channels before ``until``, but for those that were perhaps never sent."""
    sent = sa.select(
        contacts.c.decision_id, contacts.c.customer_key, contacts.c.channel, contacts.c.at_us
    ).where(contacts.c.channel.in_(channels), contacts.c.kind != ASSUMED, contacts.c.at_us < micros(until))
    clicked = (
        sa.select(outcomes.c.decision_id, sa.func.min(outcomes.c.at_us))
        .where(outcomes.c.kind.in_(("clicked", "accepted")))
        .group_by(outcomes.c.decision_id)
    )
    with log.reading() as connection:
        clicks = {row[0]: row[1] for row in connection.execute(clicked)}
        return [Sending(*row, clicks.get(row.decision_id)) for row in connection.execute(sent)]


def read_choices(log: DecisionLog, since: datetime, until: datetime) -> pd.DataFrame:
    """The decisions from ``since`` to before ``until`` in which there was a choice.

    Decisions for the holdout are left out, and those with a single permitted option: they say nothing about
    the difference between options.

    Returns:
        ``customer_key``, ``at`` (UTC, without a zone), ``action``, ``cost``, and ``probabilities`` by action.
    """
    statement = sa.select(
        decisions.c.customer_key,
        decisions.c.at_us,
        decisions.c.action,
        decisions.c.cost,
        decisions.c.probabilities,
    ).where(
        decisions.c.at_us >= micros(since),
        decisions.c.at_us < micros(until),
        decisions.c.how != "holdout",
        decisions.c.probability < 1,
    )
    with log.reading() as connection:
        rows = connection.execute(statement.order_by(decisions.c.n)).cursor.fetchall()
    frame = pd.DataFrame(rows, columns=["customer_key", "at_us", "action", "cost", "probabilities"])
    frame = frame.assign(probabilities=[json.loads(text) for text in frame["probabilities"]])
    return _with_moments(frame.astype({"customer_key": "int64", "at_us": "int64", "cost": "float64"}))


def read_facts(log: DecisionLog, since: datetime) -> pd.DataFrame:
    """The features of each customer's first decision from ``since`` on, as they were then: ``customer_key``
    and ``facts`` by name.
    """
    first = (
        sa.select(sa.func.min(decisions.c.n))
        .where(decisions.c.at_us >= micros(since))
        .group_by(decisions.c.customer_key)
    )
    statement = sa.select(decisions.c.customer_key, decisions.c.facts).where(decisions.c.n.in_(first))
    with log.reading() as connection:
        rows = connection.execute(statement.order_by(decisions.c.n)).cursor.fetchall()
    frame = pd.DataFrame(rows, columns=["customer_key", "facts"]).astype({"customer_key": "int64"})
    return frame.assign(facts=[json.loads(text) for text in frame["facts"]])


def _with_moments(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="at_us").assign(at=pd.to_datetime(frame["at_us"], unit="us"))
