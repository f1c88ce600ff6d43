"""Published versions of the ranking of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from models.products.files import NAME, open_products
from models.products.ranker import FittedProducts
from models.registry.registry import Registry


@dataclass(frozen=True)
class ProductRanking:
    """A loaded published version; implements :class:`serving.rankings.ranking.Ranking`.

    Attributes:
        new_only: whether products that a customer has bought before are left out.
    """

    version: str
    fitted: FittedProducts
    new_only: bool = False

    @property
    def as_of(self) -> datetime:
        """The ranking is based on the orders known by this moment."""
        return self.fitted.as_of

    @property
    def horizon_days(self) -> None:
        """None: a score is about the next basket, whenever it comes."""
        return None

    def knows(self, customer_key: int) -> bool:
        """Whether the customer had bought anything before ``as_of``."""
        return self.fitted.knows(customer_key)

    def rank(self, customer_keys: Sequence[int], limit: int | None) -> pa.Table:
        """See :meth:`models.products.ranker.FittedProducts.rank`."""
        k = len(self.fitted.product_ids) if limit is None else limit
        return self.fitted.rank(customer_keys, k, self.new_only)


def open_version(registry: Registry, version: str) -> ProductRanking:
    """A published version, with every digest checked.

    Raises:
        PatronError: its files are missing or damaged, or have another format than this code reads.
    """
    return ProductRanking(version, open_products(version, *registry.files(NAME, version)))
