"""A page of customers in the order of a score."""

from __future__ import annotations

import numpy as np

from features.offline.current import NoSuchSegment, load_current
from serving.customers.schemas import CustomersQuery, CustomersResponse, ListedCustomer
from serving.customers.score_order import ScoreOrders, Sort, SortedCursor
from serving.http.problems import Unprocessable
from serving.scores.scorer import Scorer


def list_sorted(scorer: Scorer, orders: ScoreOrders, query: CustomersQuery, text: str) -> CustomersResponse:
    """A page of the customers of the segments that have the scores of a sort.

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
    page = positions[first : first + query.limit]
    keys, values = order.keys[page], order.values[page].tolist()
    ids = scorer.identity.ids(keys.tolist())
    after = int(page[-1]) if first + query.limit < len(positions) else None
    return CustomersResponse(
        features_as_of=now.as_of,
        scores_as_of=order.at,
        total=len(positions),
        customers=[
            ListedCustomer(customer_id=ids[key], segments=segments, value=value)
            for key, segments, value in zip(keys.tolist(), now.segments(keys), values, strict=True)
            if key in ids
        ],
        next_cursor=None
        if after is None
        else SortedCursor(job_id=order.job_id, sort=text, after=after).text(),
    )
