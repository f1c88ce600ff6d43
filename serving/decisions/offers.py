"""The product and the category that each customer is offered, by the promoted rankings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import PatronError
from decisions.offers import CATEGORY, PRODUCT, CustomerOffer
from serving.rankings.ranking import CATEGORIES, PRODUCTS, Ranking
from serving.rankings.stocked import in_stock
from serving.scores.champion_watch import ChampionWatch, LazyChampion

if TYPE_CHECKING:
    from models.categories.published import CategoryRanking
    from models.products.published import ProductRanking

_LOG = logging.getLogger(__name__)


class Offers:
    """Recommends what placeholders of texts stand for. Threads may share it; one of them ranks at a time."""

    def __init__(self, watch: ChampionWatch) -> None:
        self._home = watch.home
        self._products: LazyChampion[ProductRanking] = LazyChampion(
            PRODUCTS.model, watch, PRODUCTS.open_version
        )
        self._categories: LazyChampion[CategoryRanking] = LazyChampion(
            CATEGORIES.model, watch, CATEGORIES.open_version
        )
        self._lock = threading.Lock()
        self._logged: dict[str, str] = {}

    def of(self, keys: Sequence[int], names: Collection[str]) -> dict[int, CustomerOffer]:
        """The offers of customers, by key; without a ranking there is nothing to offer.

        Args:
            names: of the placeholders that are needed.
        """
        if not {PRODUCT, CATEGORY} & set(names) or not keys:
            return {}
        with self._lock:
            products = self._best(PRODUCT, keys) if PRODUCT in names else {}
            categories = self._best(CATEGORY, keys) if CATEGORY in names else {}
        item = CATEGORIES.item
        return {key: CustomerOffer(products.get(key), categories.get(key, {}).get(item)) for key in keys}

    def _best(self, name: str, keys: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """The first item of each customer's ranking; none if no version can be used, which is logged."""
        try:
            ranking: Ranking = (
                in_stock(self._home, self._products.current())
                if name == PRODUCT
                else self._categories.current()
            )
            rows = ranking.rank(sorted({*keys}), 1).to_pylist()
        except PatronError as error:
            if self._logged.get(name) != str(error):
                _LOG.warning("texts with {%s} are not offered: %s", name, error)
            self._logged[name] = str(error)
            return {}
        self._logged.pop(name, None)
        unwritten = ("customer_key", "score", "reason")
        return {
            row["customer_key"]: {field: value for field, value in row.items() if field not in unwritten}
            for row in rows
        }
