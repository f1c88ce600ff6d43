"""A shop's orders and refunds by month and cohort, and its lapsed customers by month.

Each order counts by its latest version, on the day on which it was placed; a refund on its own day.
Months are those of the shop's calendar, numbered ``12 * year + month - 1``. The cohort of a customer is the
month of the first order. Customers who were merged count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import ibis
import ibis.expr.types as ir
import pandas as pd

from core.calendar import date_of, day_of
from events.queries.net_orders import of_persons
from events.schema import Events, latest

_KEYS = ("customer_key", "month")
_MONEY = {"orders": "int64", "gross": "decimal(38, 4)", "refunds": "decimal(38, 4)"}


@dataclass(frozen=True)
class OrderMonths:
    """What is known of a shop's months at a moment.

    Attributes:
        by_cohort: a row per cohort and month with orders or refunds, by month: ``cohort`` (missing for
            customers without orders), ``month``, ``customers`` who ordered in the month, ``orders``,
            ``gross`` (paid, after discounts) and ``refunds``, in currency.
        lapsed: customers by the month in which their time without an order was complete.
        last: the month that the moment ends, or is in.
    """

    by_cohort: pd.DataFrame
    lapsed: pd.Series
    last: int


def order_months(events: Events, as_of: datetime, zone: str, lapsed_after_days: int) -> OrderMonths:
    """The months of a shop up to a moment.

    Args:
        events: as known at the moment.
        zone: the shop's time zone.
        lapsed_after_days: the number of days without an order after which a customer has lapsed.

    Raises:
        PatronError: the events cannot be read.
    """
    lines, refunds = (of_persons(latest(t), events) for t in (events.order_lines, events.refunds))
    orders = lines.group_by("customer_key", "order_id").aggregate(
        day=lines.day.min(), amount=lines.amount.sum()
    )
    last_day = day_of(as_of - timedelta(microseconds=1), zone)
    with orders.mutate(month=_month(orders.day)).cache() as placed:  # read twice
        return OrderMonths(
            _by_cohort(placed, refunds.mutate(month=_month(refunds.day))),
            _lapsed(placed, lapsed_after_days, day_of(as_of, zone)),
            month_of(date_of(last_day)),
        )


def month_of(day: date) -> int:
    """The number of a date's month."""
    return 12 * day.year + day.month - 1


def first_day_of(month: int) -> date:
    """The first day of a month."""
    return date(month // 12, month % 12 + 1, 1)


def _month(day: ir.IntegerColumn) -> ir.IntegerColumn:
    moment = (day.cast("int64") * 86_400).as_timestamp("s")
    return (moment.year().cast("int64") * 12 + moment.month() - 1).cast("int64")


def _by_cohort(orders: ir.Table, refunds: ir.Table) -> pd.DataFrame:
    """Customers, orders and money per cohort and month."""
    nothing = {name: ibis.literal(0) for name in ("orders", "gross", "refunds")}
    paid = orders.select(*_KEYS, **(nothing | {"orders": ibis.literal(1), "gross": orders.amount}))
    back = refunds.select(*_KEYS, **(nothing | {"refunds": refunds.amount}))
    paid, back = (table.cast(_MONEY) for table in (paid, back))
    moved = paid.union(back)
    by_customer = moved.group_by(*_KEYS).aggregate(**{name: moved[name].sum() for name in nothing})
    bought = by_customer.filter(by_customer.orders > 0)
    cohorts = bought.group_by("customer_key").aggregate(cohort=bought.month.min())
    known = by_customer.left_join(cohorts, "customer_key")
    months = known.group_by("cohort", "month").aggregate(
        customers=(known.orders > 0).sum(),
        orders=known.orders.sum().cast("int64"),
        gross=known.gross.sum().cast("float64"),
        refunds=known.refunds.sum().cast("float64"),
    )
    frame: pd.DataFrame = months.order_by("month", "cohort").to_pandas()
    return frame


def _lapsed(orders: ir.Table, days: int, today: int) -> pd.Series:
    """Customers by the month that contains the last of ``days`` days after an order, without another one."""
    bought = orders.select("customer_key", "day").distinct()
    by_customer = ibis.window(group_by="customer_key", order_by="day")
    gaps = bought.mutate(following=bought.day.lead().over(by_customer), complete=bought.day + days)
    lapsed = gaps.filter(gaps.complete < today, gaps.following.isnull() | (gaps.following > gaps.complete))
    by_month = lapsed.group_by(month=_month(lapsed.complete)).aggregate(customers=lapsed.count())
    frame: pd.DataFrame = by_month.to_pandas()
    return frame.set_index("month")["customers"]
