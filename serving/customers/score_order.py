"""Customers in the order of a score, or of a product of scores, of the newest score job of all customers.

An order is computed once per job, in columns, and stored in memory; a page is a slice of it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from core.errors import NothingThere
from core.home import Home
from records.batches import KEY
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.http.cursors import Cursor
from serving.http.problems import Unprocessable

PRODUCTS: Mapping[str, tuple[str, ...]] = {"revenue_at_risk": ("churn", "clv")}
"""Products of scores with a name of their own, with their factors."""
MAX_FACTORS = 5
_MAX_ORDERS = 4  # in memory: 16 bytes per customer each
_SORT = re.compile(r"-?[a-z][a-z0-9_]*(\*[a-z][a-z0-9_]*)*")


@dataclass(frozen=True)
class Sort:
    """By which scores customers are sorted; several are multiplied."""

    factors: tuple[str, ...]
    descending: bool

    @classmethod
    def parse(cls, text: str, models: Collection[str]) -> Self:
        """The sort of a text such as ``-clv``, ``churn`` or ``-churn*clv``; ``-`` puts the highest first.

        Raises:
            Unprocessable: it names no score, or is no product of scores; the text says which there are.
        """
        there = ", ".join(sorted({*models, *PRODUCTS}))
        if not _SORT.fullmatch(text):
            raise Unprocessable(
                f"sort: a score, or scores joined by *, with - for the highest first; there are {there}"
            )
        factors: list[str] = []
        for name in text.removeprefix("-").split("*"):
            if name not in models and name not in PRODUCTS:
                raise Unprocessable(f"sort: there is no score {name[:50]!r}; there are {there}")
            factors += PRODUCTS.get(name, (name,))
        if len(factors) > MAX_FACTORS:
            raise Unprocessable(f"sort: at most {MAX_FACTORS} scores can be multiplied")
        return cls(tuple(sorted(factors)), text.startswith("-"))


@dataclass(frozen=True)
class ScoreOrder:
    """The customers with all scores of a sort, in its order; equal values are in the order of the keys.

    Attributes:
        at: when the scores were computed.
        keys: the customers. values: the value of each, of which the order is.
    """

    job_id: str
    at: datetime
    keys: NDArray[np.int64]
    values: NDArray[np.float64]

    def within(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions in the order at which these customers are."""
        return np.flatnonzero(np.isin(self.keys, members))


class SortedCursor(Cursor):
    """In a sorted list: the position in the order of a job after which the page begins."""

    job_id: str
    sort: str
    after: int = Field(ge=0, lt=2**63)


class ScoreOrders:
    """The orders of a home's customers, by score job and sort; the latest few are in memory."""

    def __init__(self, home: Home) -> None:
        self._store = ScoreJobStore(home)
        self._lock = threading.Lock()
        self._orders: dict[tuple[str, Sort], ScoreOrder] = {}

    def find(self, sort: Sort, job_id: str | None = None) -> ScoreOrder:
        """The order by the newest finished job of all customers that has these scores.

        Args:
            job_id: that job instead, so that the pages of a list belong together.

        Raises:
            NothingThere: there is no such job.
            Unprocessable: the job ``job_id`` was deleted since.
        """
        job = self._newest(sort) if job_id is None else self._store.find(job_id)
        if job is None or job.status != "done" or not set(sort.factors) <= set(job.models):
            raise Unprocessable("cursor: its scores were deleted since; leave it out to get the first page")
        name = job.id, sort
        with self._lock:  # one computation at a time; others wait for its result
            order = self._orders.pop(name, None) or _order(self._store, job, sort)
            self._orders[name] = order
            while len(self._orders) > _MAX_ORDERS:
                del self._orders[next(iter(self._orders))]
        return order

    def _newest(self, sort: Sort) -> ScoreJob:
        for job in self._store.list_jobs():
            if job.status == "done" and job.segment is None and set(sort.factors) <= set(job.models):
                return job
        raise NothingThere(
            f"no score job of all customers has the scores {', '.join(dict.fromkeys(sort.factors))};"
            " run `patron score --out FILE`, or POST /v1/score-jobs"
        )


def _order(store: ScoreJobStore, job: ScoreJob, sort: Sort) -> ScoreOrder:
    columns = [f"{name}.score" for name in dict.fromkeys(sort.factors)]
    parts = [
        pq.ParquetFile(store.part(job, chunk)).read([KEY, *columns], use_threads=False)
        for chunk in range(job.chunks)
    ]
    keys = np.concatenate([part[KEY].to_numpy() for part in parts])
    values = np.ones(len(keys))
    for name in sort.factors:
        values *= np.concatenate([part[f"{name}.score"].to_numpy() for part in parts])
    scored = np.flatnonzero(np.isfinite(values))
    by_key = scored[np.argsort(keys[scored], kind="stable")]
    sorted_values = -values[by_key] if sort.descending else values[by_key]
    places = by_key[np.argsort(sorted_values, kind="stable")]
    return ScoreOrder(job.id, job.at, keys[places], values[places])
