"""A ranking of products that are in stock, each with its name, address, picture, price and stock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.home import Home
from events.queries.product_catalogue import ProductCatalogue, open_catalogue

if TYPE_CHECKING:
    from models.products.published import ProductRanking


@dataclass(frozen=True)
class StockedRanking:
    """Implements :class:`serving.rankings.ranking.Ranking` with a catalogue.

    Products that are not in the catalogue have no details; they are ranked, since a catalogue may be partial.
    """

    ranking: ProductRanking
    catalogue: ProductCatalogue

    @property
    def version(self) -> str:
        """The version's number."""
        return self.ranking.version

    @property
    def as_of(self) -> datetime:
        """The ranking is based on the orders known by this moment."""
        return self.ranking.as_of

    @property
    def horizon_days(self) -> None:
        """None: a score is about the next basket, whenever it comes."""
        return None

    def knows(self, customer_key: int) -> bool:
        """Whether the customer had ordered before ``as_of``."""
        return self.ranking.knows(customer_key)

    def rank(self, customer_keys: Sequence[int], limit: int | None) -> pa.Table:
        """The products in stock of each customer, with the columns of the catalogue."""
        gone = self.catalogue.out_of_stock.intersection(self.ranking.fitted.product_ids)
        rows = self.ranking.rank(customer_keys, None if limit is None else limit + len(gone))
        if gone:
            rows = rows.filter(pc.invert(pc.is_in(rows["product_id"], pa.array(sorted(gone), pa.string()))))
        if limit is not None and len(rows):
            keys = rows["customer_key"].to_numpy()
            rows = rows.filter(pa.array(np.arange(len(keys)) - np.searchsorted(keys, keys) < limit))
        for name, column in self.catalogue.describe(rows["product_id"]).items():
            rows = rows.append_column(name, column)
        return rows


def in_stock(home: Home, ranking: ProductRanking) -> ProductRanking | StockedRanking:
    """The ranking with the catalogue of a home; unchanged if none was imported.

    Raises:
        PatronError: the catalogue cannot be read.
    """
    catalogue = open_catalogue(home)
    return ranking if catalogue is None else StockedRanking(ranking, catalogue)
