"""What customers buy next: answered by the version that is promoted, opened when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from events.identity import Identity
from models.registry.registry import Registry
from serving.files import tables as job_files
from serving.files import writing as files
from serving.rankings.champion import Following

if TYPE_CHECKING:
    from models.products.published import Published

AT_ONCE = 500  # customers
NO_ORDERS = "no orders of this customer were known by then; these are popular with everyone"


class Products(Following["Published"]):
    """Follows which version of the ranking is promoted."""

    def __init__(self, home: Home, clock: Callable[[], float] = monotonic) -> None:
        super().__init__("products", home, clock)

    def _open(self, registry: Registry, version: str) -> Published:
        from models.products.published import open_version

        return open_version(registry, version)


def ranked(published: Published, key: int, customer_id: str, limit: int, new_only: bool) -> dict[str, Any]:
    """What one customer buys next, as it is answered."""
    ranking = published.ranking
    table = ranking.rank([key], limit, new_only)
    return {
        "customer_id": customer_id,
        "version": published.version,
        "as_of": ranking.as_of,
        "reason": None if ranking.knows(key) else NO_ORDERS,
        "products": table.select(["product_id", "score", "reason"]).to_pylist(),
    }


def rank_everyone(
    home: Home, published: Published, out: Path, limit: int, new_only: bool, progress: Progress = silent
) -> dict[str, Any]:
    """Write what everyone buys next into ``out`` (.parquet, .ndjson or .csv): rows by customer, then rank.

    The columns are ``customer_id``, ``rank`` (from 1), ``product_id``, ``score``, ``reason`` and
    ``products_version``.

    Raises:
        PatronError: the file cannot be written there, or the database cannot be read.
    """
    files.check_place(out, job_files.KINDS)
    identity, customers = Identity(home), 0

    def tables() -> Iterator[pa.Table]:
        nonlocal customers
        for keys in identity.everyone(AT_ONCE):
            customers += len(keys)
            progress(f"{customers:,} customers", 0.5)
            yield _rows(identity, published, keys, limit, new_only)

    files.write(job_files.encoded(tables(), job_files.kind_of(out)), out)
    return {"customers": customers, "out": str(out), "version": published.version}


def _rows(
    identity: Identity, published: Published, keys: np.ndarray[Any, Any], limit: int, new_only: bool
) -> pa.Table:
    table = published.ranking.rank(keys.tolist(), limit, new_only)
    whose = table["customer_key"].to_numpy()
    rank = np.arange(len(whose)) - np.searchsorted(whose, whose) + 1
    names = identity.names(keys).take(np.searchsorted(keys, whose))
    version = pa.array([published.version] * len(whose), pa.string()).dictionary_encode()
    return pa.table(
        {
            "customer_id": names,
            "rank": rank,
            **{name: table[name] for name in ("product_id", "score", "reason")},
            "products_version": version,
        }
    )


def write_rules(home: Home, out: Path, least_baskets: int) -> dict[str, Any]:
    """Write the association rules of everything bought so far into ``out`` (.parquet, .ndjson or .csv).

    The columns are those of :data:`models.products.rules.SCHEMA`.

    Args:
        least_baskets: rules that fewer baskets show are left out.

    Raises:
        PatronError: there are no orders or no two products, or no rule is shown by so many baskets.
    """
    from events.queries.merchandise import merchandise
    from models.products.purchases import read
    from models.products.rules import mine

    files.check_place(out, job_files.KINDS)
    goods = merchandise(home)
    found = mine(read(goods.order_lines, goods.as_of, goods.time_zone, goods.never), least_baskets)
    if not found.num_rows:
        raise PatronError(
            f"no two products stand together in {least_baskets} baskets or more; say a smaller"
            " --least-baskets"
        )
    files.write(job_files.encoded(iter([found]), job_files.kind_of(out)), out)
    return {"rules": found.num_rows, "out": str(out), "as_of": goods.as_of}
