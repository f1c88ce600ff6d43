"""Writes rankings of all customers, the best customers of a category, and association rules into files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from events.identity import Identity
from features.offline.existing_customers import ExistingCustomers
from serving.files import tables, writing
from serving.rankings.ranking import CATEGORIES, Ranking, RankingKind

if TYPE_CHECKING:
    from models.categories.published import CategoryRanking


def rank_everyone(
    home: Home,
    kind: RankingKind[Any],
    ranking: Ranking,
    out: Path,
    limit: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the items of all customers into ``out``: rows by customer, then rank.

    The columns are ``customer_id``, ``rank`` (from 1), ``kind.item``, ``score``, ``reason``, the details of a
    catalogue, and the version, named ``products_version`` or ``category_propensity_version``.

    Args:
        out: a .parquet, .ndjson, .csv or .xlsx file.
        limit: the maximum number of items per customer; None for all.

    Raises:
        PatronError: the file cannot be written there, or the database cannot be read.
    """
    writing.check_place(out, tables.KINDS)
    identity, customers = ExistingCustomers(home), 0

    def batches() -> Iterator[pa.Table]:
        nonlocal customers
        for keys in identity.everyone(kind.batch_size):
            rows = ranking.rank(keys.tolist(), limit)
            key = rows["customer_key"].to_numpy()
            customers += len(np.unique(key))
            progress(f"{customers:,} customers", 0.5)
            rank = np.arange(len(key)) - np.searchsorted(key, key) + 1
            yield _table(identity, kind, ranking, rows, rank)

    _write(batches(), out)
    return {"customers": customers, "out": str(out), "version": ranking.version}


def best_customers(
    home: Home,
    ranking: CategoryRanking,
    category: str,
    out: Path,
    limit: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the customers of a category into ``out``, the most probable first; columns of
    :func:`rank_everyone`.

    Args:
        limit: the maximum number of customers; None for all.

    Raises:
        PatronError: nobody ordered from the category, or as :func:`rank_everyone`.
    """
    writing.check_place(out, tables.KINDS)
    categories = ranking.history.categories["category"].tolist()
    if category not in categories:
        raise PatronError(
            f"nobody had ordered of {category!r} when version {ranking.version} was trained; there are"
            f" {', '.join(categories)}"
        )
    identity, only = ExistingCustomers(home), replace(ranking, categories=(category,))
    progress(f"the customers of {category}", 0.2)
    best = _best(identity, only)[:limit]

    def batches() -> Iterator[pa.Table]:
        for start in range(0, max(len(best), 1), CATEGORIES.batch_size):
            keys = best[start : start + CATEGORIES.batch_size]
            rows = only.rank(keys.tolist(), None)  # by customer, one row per customer
            rows = rows.take(np.searchsorted(rows["customer_key"].to_numpy(), keys))
            yield _table(identity, CATEGORIES, only, rows, np.arange(len(keys)) + start + 1)

    _write(batches(), out)
    return {"customers": len(best), "category": category, "out": str(out), "version": ranking.version}


def _best(identity: Identity, ranking: CategoryRanking) -> NDArray[np.int64]:
    """The keys of the customers of a ranking with one category, the most probable first."""
    keys, scores = [np.empty(0, np.int64)], [np.empty(0)]
    for batch in identity.everyone(CATEGORIES.batch_size):
        rows = ranking.rank(batch.tolist(), None)
        keys.append(rows["customer_key"].to_numpy())
        scores.append(rows["score"].to_numpy())
    return np.concatenate(keys)[np.argsort(-np.concatenate(scores), kind="stable")]


def _table(
    identity: Identity, kind: RankingKind[Any], ranking: Ranking, rows: pa.Table, rank: NDArray[np.int64]
) -> pa.Table:
    """The rows as written, with customer ids, ranks and the version."""
    keys, row = np.unique(rows["customer_key"].to_numpy(), return_inverse=True)
    return pa.table(
        {
            "customer_id": identity.names(keys).take(row) if len(keys) else pa.array([], pa.string()),
            "rank": pa.array(rank, pa.int64()),
            **{name: rows[name] for name in rows.column_names if name != "customer_key"},
            f"{kind.model}_version": pa.array([ranking.version] * len(row), pa.string()).dictionary_encode(),
        }
    )


def write_rules(home: Home, out: Path, min_baskets: int) -> dict[str, Any]:
    """Write the association rules of everything bought so far into ``out`` (a file as in ``tables.KINDS``).

    The columns are those of :data:`models.products.rules.SCHEMA`.

    Args:
        min_baskets: rules with fewer baskets are left out.

    Raises:
        PatronError: there are no orders or fewer than two products, or no rule has so many baskets.
    """
    from events.queries.merchandise import merchandise
    from models.products.purchases import read
    from models.products.rules import mine

    writing.check_place(out, tables.KINDS)
    goods = merchandise(home)
    purchases = read(goods.order_lines, goods.as_of, goods.time_zone, goods.never)
    rules = mine(purchases.latest(), min_baskets)
    if not rules.num_rows:
        raise PatronError(
            f"no two products are in {min_baskets} baskets or more together; choose a smaller --least-baskets"
        )
    _write(iter([rules]), out)
    return {"rules": rules.num_rows, "out": str(out), "as_of": goods.as_of}


def _write(batches: Iterator[pa.Table], out: Path) -> None:
    tables.write(batches, out)
