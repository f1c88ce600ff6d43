"""Events that name a decision: an action that was shown, a message that was opened, an order."""

from __future__ import annotations

import json

import ibis
import pandas as pd

from events.queries.net_orders import of_persons
from events.schema import Events
from events.segment.orders import ORDERED

BY_NAME = {
    "Action Shown": "shown",
    "Action Accepted": "accepted",
    "Action Rejected": "rejected",
    **dict.fromkeys(ORDERED, "accepted"),
}
BY_KIND = {"sent": "sent", "opened": "shown", "clicked": "clicked"}
"""The outcome that an event reports, by its name, else by its kind."""
COLUMNS = ("customer_key", "decision_id", "outcome", "at")


def decision_events(events: Events) -> pd.DataFrame:
    """The events with a ``decision_id`` among their properties.

    Args:
        events: as known at a moment; see :meth:`events.schema.Events.known_at`.

    Returns:
        ``customer_key`` of the person, ``decision_id``, ``outcome`` and ``at`` (UTC, without a zone), by
        time. Each decision has an outcome once, with its first moment. Whether the decision exists is not
        checked.
    """
    seen = of_persons(events.activities, events)
    outcome = ibis.coalesce(
        seen.name.cases(*BY_NAME.items(), else_=ibis.null("string")),
        seen.kind.cases(*BY_KIND.items(), else_=ibis.null("string")),
    )
    # The reference is the decision's id where the properties name one.
    named = seen.properties.contains('"decision_id"') & seen.reference.notnull()
    rows = seen.mutate(outcome=outcome, decision_id=seen.reference).filter(named & outcome.notnull())
    first = rows.group_by("customer_key", "decision_id", "outcome").aggregate(at=rows.timestamp.min())
    frame: pd.DataFrame = first.select(*COLUMNS).order_by("at", "decision_id", "outcome").to_pandas()
    return frame


def orders_of_decisions(events: Events) -> pd.DataFrame:
    """The orders that name the decision they followed.

    Args:
        events: as of :func:`decision_events`.

    Returns:
        ``customer_key`` of the person, ``order_id`` and ``decision_id``; of an order that names several, the
        first one.
    """
    seen = of_persons(events.activities, events)
    named = seen.filter(seen.name.isin(ORDERED), seen.properties.contains('"decision_id"'))
    rows = named.select("customer_key", "properties", "timestamp", decision_id=named.reference).to_pandas()
    order_ids = [json.loads(text)["order_id"] for text in rows["properties"]]
    rows = rows.assign(order_id=pd.Series(order_ids, rows.index, object))
    first = rows.sort_values(["timestamp", "decision_id"]).drop_duplicates(["customer_key", "order_id"])
    frame: pd.DataFrame = first[["customer_key", "order_id", "decision_id"]].reset_index(drop=True)
    return frame
