"""Ranks items for customers in response to requests, one request at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic

from fastapi import HTTPException

from events.identity import Identity
from serving.http.single_worker import SingleWorker
from serving.rankings.ranking import CATEGORIES, PRODUCTS, R, Ranking, RankingKind
from serving.scores.champion_watch import ChampionWatch, LazyChampion
from serving.scores.inference import UNKNOWN

if TYPE_CHECKING:
    from models.categories.published import CategoryRanking  # noqa: F401 - named in a string below
    from models.products.published import ProductRanking  # noqa: F401 - likewise


class RankingService(SingleWorker, Generic[R]):
    """Ranks with the promoted version in a thread of its own, so that scores do not wait."""

    kind: RankingKind[R]

    def __init__(self, watch: ChampionWatch, identity: Identity) -> None:
        super().__init__(self.kind.model.replace("_", " "))
        self.home = watch.home
        self._identity = identity
        self._champion = LazyChampion(self.kind.model, watch, self.kind.open_version)

    async def respond(
        self, customer_id: str, limit: int | None, restrict: Callable[[R], Ranking] = lambda ranking: ranking
    ) -> dict[str, Any]:
        """The items of one customer, see :meth:`RankingKind.response`.

        Args:
            restrict: returns the ranking of the requested items only.

        Raises:
            HTTPException: no event named the customer, or too many requests wait.
            PatronError: no version was promoted, or it cannot be opened.
        """

        def respond() -> dict[str, Any]:
            key = self._identity.keys([customer_id]).get(customer_id)
            if key is None:
                raise HTTPException(404, UNKNOWN)
            return self.kind.response(restrict(self._champion.current()), key, customer_id, limit)

        return await self.run(respond)


class ProductService(RankingService["ProductRanking"]):
    """Ranks the products that a customer is likely to buy next."""

    kind = PRODUCTS


class CategoryService(RankingService["CategoryRanking"]):
    """Ranks the categories that a customer is likely to order from soon."""

    kind = CATEGORIES
