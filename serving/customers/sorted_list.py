"""Customers in the order of a score: a page, or all of them as tables for a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from events.identity import Identity
from features.offline.current import CurrentSnapshot, NoSuchSegment, load_current
from serving.customers.schemas import CustomersQuery, CustomersResponse, ListedCustomer
from serving.customers.score_order import ScoreOrder, ScoreOrders, Sort, SortedCursor
from serving.http.problems import Unprocessable
from serving.scores.scorer import Scorer

CHUNK = 100_000  # customers of a table


@dataclass(frozen=True)
class SortedList:
    """The customers of some segments in the order of a score.

    Attributes:
        sort: the text of the sort.
        positions: where these customers are in the order. first: of which the list begins with this one.
    """

    sort: str
    now: CurrentSnapshot
    order: ScoreOrder
    positions: NDArray[np.int64]
    first: int

    def page(self, identity: Identity, limit: int) -> CustomersResponse:
        """A page from the first customer on; customers who were deleted since are left out."""
        page = self.positions[self.first : self.first + limit]
        keys, values = self.order.keys[page], self.order.values[page].tolist()
        ids = identity.ids(keys.tolist())
        after = int(page[-1]) if self.first + limit < len(self.positions) else None
        return CustomersResponse(
            features_as_of=self.now.as_of,
            scores_as_of=self.order.at,
            total=len(self.positions),
            customers=[
                ListedCustomer(customer_id=ids[key], segments=segments, value=value)
                for key, segments, value in zip(keys.tolist(), self.now.segments(keys), values, strict=True)
                if key in ids
            ],
            next_cursor=None
            if after is None
            else SortedCursor(job_id=self.order.job_id, sort=self.sort, after=after).text(),
        )

    def tables(self, identity: Identity) -> Iterator[pa.Table]:
        """All customers from the first on, in parts: their ids, the value of the sort and their segments."""
        for start in range(self.first, max(len(self.positions), self.first + 1), CHUNK):
            part = self.positions[start : start + CHUNK]
            keys = self.order.keys[part]
            segments = self.now.segments(keys)
            columns = {name: [row[name] for row in segments] for name in self.now.segment_names}
            table = pa.table(
                {
                    "customer_id": _names(identity, keys),
                    "value": pa.array(self.order.values[part]),
                    **{name: pa.array(texts, pa.string()) for name, texts in columns.items()},
                }
            )
            yield table.filter(table["customer_id"].is_valid())


def _names(identity: Identity, keys: NDArray[np.int64]) -> pa.Array:
    """The ids of customers in any order; null for those who were deleted."""
    ascending, places = np.unique(keys, return_inverse=True)
    return identity.names(ascending).take(places) if len(keys) else pa.array([], pa.string())


def find_sorted(scorer: Scorer, orders: ScoreOrders, query: CustomersQuery, text: str) -> SortedList:
    """The customers of the segments that have the scores of a sort, from the cursor on.

    Pages follow the job of the first one, also if another job ends meanwhile.

    Raises:
        Unprocessable: the sort, a segment or the cursor is wrong.
        NothingThere: no job of all customers has these scores, or nothing was built yet.
    """
    champions = scorer.champions
    sort = Sort.parse(text, {*champions.models, *champions.unavailable})
    cursor = None if query.cursor is None else SortedCursor.read(query.cursor)
    if cursor is not None and cursor.sort != text:
        raise Unprocessable("cursor: it is of a list with another sort")
    order = orders.find(sort, None if cursor is None else cursor.job_id)
    now = load_current(scorer.home)
    try:
        positions = order.within(now.members(query.segment))
    except NoSuchSegment as error:
        raise Unprocessable(f"segment: {error}") from error
    first = 0 if cursor is None else int(np.searchsorted(positions, cursor.after, side="right"))
    return SortedList(text, now, order, positions, first)
