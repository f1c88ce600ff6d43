"""From orders to frequency, recency, T and mean repeat value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clv.summary import summarise
from core.errors import PatronError
from models.btyd.grouping import grouped

ORDERS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(-500, 5000)), min_size=1, max_size=40
)


@given(ORDERS, st.integers(0, 40))
def test_a_summary_is_what_counting_by_hand_gives(orders: list[tuple[int, int, int]], until: int) -> None:
    customers, days, cents = np.array(orders).T
    purchases: dict[int, dict[int, float]] = {}
    for customer, day, amount in orders:
        if day <= until:
            mine = purchases.setdefault(customer, {})
            mine[day] = mine.get(day, 0) + amount / 100
    if not purchases:
        with pytest.raises(PatronError, match=f"no order up to day {until}"):
            summarise(customers, days, cents / 100, until)
        return
    result = summarise(customers, days, cents / 100, until, days_per_unit=7)
    assert result.customers.tolist() == sorted(purchases)
    for i, customer in enumerate(sorted(purchases)):
        mine = purchases[customer]
        first, *repeats = sorted(mine)
        assert result.frequency[i] == len(repeats)
        assert result.recency[i] == pytest.approx((max(mine) - first) / 7)
        assert result.T[i] == pytest.approx((until - first) / 7)
        expected = np.mean([mine[day] for day in repeats]) if repeats else np.nan
        assert result.monetary_value[i] == pytest.approx(expected, nan_ok=True)


def test_orders_that_cannot_be_summarised_are_refused() -> None:
    one = np.array([1])
    with pytest.raises(PatronError, match="no finite number"):
        summarise(one, one, np.array([np.nan]), 5)
    with pytest.raises(PatronError, match="1 customers, 1 days and 2 amounts"):
        summarise(one, one, np.array([1.0, 2.0]), 5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_grouping_keeps_every_row_and_its_number(rows: list[tuple[int, int, int]]) -> None:
    columns, counts = grouped(*np.array(rows, np.float64).T)
    result = {tuple(map(int, row)): count for *row, count in zip(*columns, counts, strict=True)}
    assert result == {row: rows.count(row) for row in rows}
    assert len(counts) == len(result)
