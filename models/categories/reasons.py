"""Why a category is probable for a customer, as text: the customer's orders of it, else its popularity."""

from __future__ import annotations

import pandas as pd

from models.explain.words import counted, days_ago


def reasons(frame: pd.DataFrame) -> list[str]:
    """The reason of each row, see :meth:`models.categories.history.CategoryHistory.rows`."""
    columns = ("orders_in_category", "orders_total", "days_since_category", "category_popularity_90d")
    return [_reason(*row) for row in zip(*(frame[name].tolist() for name in columns), strict=True)]


def _reason(times: float, orders: float, days: float, popularity: float) -> str:
    if times:
        return f"in {times:,.0f} of {counted(orders, 'orders')}, last {days_ago(round(days))}"
    return f"not ordered before; in {popularity / 1000:.1%} of all orders of the last 90 days"
