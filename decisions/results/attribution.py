"""Which contact an order is a conversion of, and what an order is worth.

An order that names a decision of its customer is a conversion of that decision. Any other order within
``conversion_days`` after a contact is a conversion of the customer's last contact before it; so an order is
counted once. An order at the moment of the contact, or before it, never is. The attribution
shows what followed a message. It is no evidence of an effect, since customers also order without a message:
see :mod:`decisions.results.programme`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TOTALS = ("contacts", "contact_cost", "conversions", "converted_net", "discounts")


def margins(orders: pd.DataFrame, margin: float) -> NDArray[np.float64]:
    """The net margin of each order, in currency.

    With ``paid`` P after the discount D, the goods cost (1 − margin) (P + D). What is refunded is given back
    with its part of the margin: (P − (1 − margin) (P + D)) × (P − refunded) / P.

    Args:
        orders: as :func:`events.queries.net_orders.net_orders` returns them.
        margin: the share of the price before discounts that is left.
    """
    paid = orders["paid"].to_numpy(float)
    left = 1 - np.divide(orders["refunded"].to_numpy(float), paid, out=np.zeros_like(paid), where=paid > 0)
    result: NDArray[np.float64] = (margin * paid - (1 - margin) * orders["discount"].to_numpy(float)) * left
    return result


def conversions(orders: pd.DataFrame, contacts: pd.DataFrame, days: int) -> pd.DataFrame:
    """The orders that followed contacts: those of ``orders``, each with its ``decision_id``.

    Args:
        orders: ``customer_key``, ``order_id``, ``at`` and more.
        contacts: ``customer_key``, ``decision_id``, ``at``; of two at one moment, the id decides.
        days: the days of 24 hours within which an order is a conversion.
    """
    left = orders.sort_values(["at", "order_id"], kind="stable")
    right = contacts[["customer_key", "decision_id", "at"]].sort_values(["at", "decision_id"], kind="stable")
    matched = pd.merge_asof(
        left, right, on="at", by="customer_key", allow_exact_matches=False, tolerance=pd.Timedelta(days=days)
    )
    return matched[matched["decision_id"].notna()].reset_index(drop=True)


def with_named(orders: pd.DataFrame, contacts: pd.DataFrame, named: pd.DataFrame, days: int) -> pd.DataFrame:
    """The orders that name a contact of their customer, each with its ``decision_id``, and the
    :func:`conversions` of the others.

    An order that names a decision of another customer, or none, is like one that names nothing.

    Args:
        named: ``customer_key``, ``order_id``, ``decision_id``, each order once.
    """
    known = named.merge(contacts[["customer_key", "decision_id"]], on=["customer_key", "decision_id"])
    joined = orders.merge(known, on=["customer_key", "order_id"], how="left")
    exact = joined[joined["decision_id"].notna()]
    others = joined[joined["decision_id"].isna()].drop(columns="decision_id")
    followed = conversions(others, contacts, days)
    return pd.concat([exact, followed]).sort_values(["at", "order_id"], ignore_index=True, kind="stable")


def totals_by_action(contacts: pd.DataFrame, converted: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What was sent and what followed, by action.

    Args:
        contacts: ``decision_id``, ``action``, ``cost``. converted: as :func:`conversions` returns them.

    Returns:
        ``contacts`` and ``contact_cost``; ``conversions``, their ``converted_net`` (after refunds) and their
        ``discounts``; money in currency.
    """
    net = converted.assign(net=converted["paid"] - converted["refunded"])
    by_decision = net.groupby("decision_id").agg(
        conversions=("order_id", "size"), converted_net=("net", "sum"), discounts=("discount", "sum")
    )
    joined = contacts[["decision_id", "action", "cost"]].join(by_decision, on="decision_id")
    rows = joined.groupby("action").agg(
        contacts=("decision_id", "size"), contact_cost=("cost", "sum"),
        conversions=("conversions", "sum"), converted_net=("converted_net", "sum"),
        discounts=("discounts", "sum"),
    )  # fmt: skip
    plain = rows.astype("float64").to_dict("index")
    return {str(name): {key: row[key] for key in TOTALS} for name, row in plain.items()}


def orders_after(choices: pd.DataFrame, orders: pd.DataFrame, days: int) -> pd.DataFrame:
    """The number and the margin of each customer's orders within so many days after each choice.

    Args:
        choices: ``customer_key``, ``at``. orders: ``customer_key``, ``at``, ``margin``, by customer and time.

    Returns:
        ``orders`` and ``margin``, with the index of ``choices``.
    """
    sums = pd.DataFrame({"orders": 0.0, "margin": 0.0}, index=choices.index)
    by_customer = dict(iter(orders.groupby("customer_key")))
    span = np.timedelta64(days, "D")
    for key, rows in choices.groupby("customer_key"):
        bought = by_customer.get(key)
        if bought is None:
            continue
        times = bought["at"].to_numpy()
        totals = np.concatenate([[0.0], np.cumsum(bought["margin"].to_numpy())])
        start = np.searchsorted(times, rows["at"].to_numpy(), side="right")
        end = np.searchsorted(times, rows["at"].to_numpy() + span, side="right")
        sums.loc[rows.index, "orders"] = (end - start).astype(float)
        sums.loc[rows.index, "margin"] = totals[end] - totals[start]
    return sums
