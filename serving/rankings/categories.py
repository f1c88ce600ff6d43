"""Of which categories customers order soon, and the best customers of a category, by the promoted version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from events.identity import Identity
from models.registry.registry import Registry
from serving.files import tables as job_files
from serving.files import writing as files
from serving.rankings.champion import Following

if TYPE_CHECKING:
    import pandas as pd

    from models.categories.published import Published

AT_ONCE = 5000  # customers
NO_ORDERS = "has not ordered yet, as far as was known by then"


class Categories(Following["Published"]):
    """Follows which version of propensity per category is promoted."""

    def __init__(self, home: Home, clock: Callable[[], float] = monotonic) -> None:
        super().__init__("category_propensity", home, clock)

    def _open(self, registry: Registry, version: str) -> Published:
        from models.categories.published import open_version

        return open_version(registry, version)


def propensities(
    published: Published, key: int, customer_id: str, limit: int | None = None
) -> dict[str, Any]:
    """Of which categories one customer orders soon, the likeliest first, as it is answered."""
    rows = _likeliest_first(_scored(published, [key]))[:limit]
    told = rows[["category", "score", "reason"]]
    return {
        "customer_id": customer_id,
        "version": published.version,
        "as_of": published.as_of,
        "horizon_days": published.horizon_days,
        "reason": None if len(rows) else NO_ORDERS,
        "categories": told.to_dict("records"),
    }


def score_everyone(
    home: Home, published: Published, out: Path, limit: int | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Write the categories of everyone who has ordered into ``out``: rows by customer, then rank.

    The columns are ``customer_id``, ``rank`` (from 1), ``category``, ``score``, ``reason`` and
    ``category_propensity_version``.

    Args:
        out: a .parquet, .ndjson or .csv file. limit: at most so many categories of each customer.

    Raises:
        PatronError: the file cannot be written there, or the database cannot be read.
    """
    files.check_place(out, job_files.KINDS)
    identity, customers = Identity(home), 0

    def tables() -> Iterator[pa.Table]:
        nonlocal customers
        for keys in identity.everyone(AT_ONCE):
            rows = _likeliest_first(_scored(published, keys.tolist()))
            rank = rows.groupby("customer_key").cumcount() + 1
            rows = rows.assign(rank=rank)[rank <= (limit or len(rows))]
            customers += rows["customer_key"].nunique()
            progress(f"{customers:,} customers", 0.5)
            yield _table(identity, published, rows)

    files.write(job_files.encoded(tables(), job_files.kind_of(out)), out)
    return {"customers": customers, "out": str(out), "version": published.version}


def best_customers(
    home: Home,
    published: Published,
    category: str,
    out: Path,
    limit: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the customers of a category into ``out``, the likeliest first; columns of :func:`score_everyone`.

    Args:
        limit: at most so many customers.

    Raises:
        PatronError: nobody ordered of the category, or as :func:`score_everyone`.
    """
    files.check_place(out, job_files.KINDS)
    there = published.history.categories["category"].tolist()
    if category not in there:
        raise PatronError(
            f"nobody had ordered of {category!r} when version {published.version} was trained; there are"
            f" {', '.join(there)}"
        )
    identity = Identity(home)
    progress(f"the customers of {category}", 0.2)
    keys = _best(identity, published, category)[:limit]

    def tables() -> Iterator[pa.Table]:
        for start in range(0, max(len(keys), 1), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            rows = _scored(published, some.tolist(), [category]).set_index("customer_key").loc[some]
            yield _table(
                identity, published, rows.reset_index().assign(rank=np.arange(len(some)) + start + 1)
            )

    files.write(job_files.encoded(tables(), job_files.kind_of(out)), out)
    return {"customers": len(keys), "category": category, "out": str(out), "version": published.version}


def _best(identity: Identity, published: Published, category: str) -> NDArray[np.int64]:
    """The keys of a category's customers, the likeliest first."""
    keys, scores = [np.empty(0, np.int64)], [np.empty(0)]
    for some in identity.everyone(AT_ONCE):
        rows = _scored(published, some.tolist(), [category])
        keys.append(rows["customer_key"].to_numpy(np.int64))
        scores.append(rows["score"].to_numpy(np.float64))
    return np.concatenate(keys)[np.argsort(-np.concatenate(scores), kind="stable")]


def _scored(published: Published, keys: list[int], categories: list[str] | None = None) -> pd.DataFrame:
    """Customers who have ordered, with categories, their score and its reason; by customer and category."""
    from models.categories.model import score
    from models.categories.reasons import reasons

    rows = published.history.rows(keys, categories)
    return rows.assign(score=score(published.model, rows) if len(rows) else 0.0, reason=reasons(rows))


def _likeliest_first(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["customer_key", "score"], ascending=[True, False], kind="stable")


def _table(identity: Identity, published: Published, rows: pd.DataFrame) -> pa.Table:
    keys = rows["customer_key"].to_numpy(np.int64)
    known = np.unique(keys)
    names = (
        identity.names(known).take(np.searchsorted(known, keys)) if len(known) else pa.array([], pa.string())
    )
    version = pa.array([published.version] * len(rows), pa.string()).dictionary_encode()
    return pa.table(
        {
            "customer_id": names,
            "rank": pa.array(rows["rank"], pa.int64()),
            "category": pa.array(rows["category"], pa.string()),
            "score": pa.array(rows["score"], pa.float64()),
            "reason": pa.array(rows["reason"], pa.string()),
            "category_propensity_version": version,
        }
    )
