"""The interface of rankings, of products and of categories: items per customer, each with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import pyarrow as pa

from models.registry.registry import Registry

if TYPE_CHECKING:
    from models.categories.published import CategoryRanking
    from models.products.published import ProductRanking


class Ranking(Protocol):
    """A loaded version of a model that ranks items for customers."""

    @property
    def version(self) -> str:
        """The version's number."""
        ...

    @property
    def as_of(self) -> datetime:
        """The ranking is based on the orders known by this moment."""
        ...

    @property
    def horizon_days(self) -> int | None:
        """The length of the window that a score is about, in days; None if it is unlimited."""
        ...

    def knows(self, customer_key: int) -> bool:
        """Whether the customer had ordered before ``as_of``."""
        ...

    def rank(self, customer_keys: Sequence[int], limit: int | None) -> pa.Table:
        """The items of each customer, by customer, the most probable first.

        Args:
            customer_keys: in ascending order.
            limit: the maximum number of items per customer; None for all.

        Returns:
            ``customer_key``, the column of :attr:`RankingKind.item`, ``score`` and ``reason``; then columns
            that describe the item, if there is a catalogue.
        """
        ...


R = TypeVar("R", bound=Ranking)


@dataclass(frozen=True)
class RankingKind(Generic[R]):
    """The names of a ranking in the registry, the API, files and commands.

    Attributes:
        model: its name in the registry.
        items: its key in a response, and its verb.
        item: the column of an item.
        no_orders: the reason in a response for a customer without orders.
        batch_size: customers per batch when all are ranked.
        open_version: opens a published version; raises PatronError.
    """

    model: str
    items: str
    item: str
    no_orders: str
    batch_size: int
    open_version: Callable[[Registry, str], R]

    def open_champion(self, registry: Registry) -> R:
        """The promoted version.

        Raises:
            NoChampion: no version was promoted; the text gives the reason.
            PatronError: its files are missing or damaged, or have another format.
        """
        return self.open_version(registry, registry.champion_version(self.model))

    def response(self, ranking: Ranking, key: int, customer_id: str, limit: int | None) -> dict[str, Any]:
        """The items of one customer, as the API and the command return them."""
        items = ranking.rank([key], limit).drop_columns(["customer_key"]).to_pylist()
        horizon = {} if ranking.horizon_days is None else {"horizon_days": ranking.horizon_days}
        return {
            "customer_id": customer_id,
            "version": ranking.version,
            "as_of": ranking.as_of,
            **horizon,
            "reason": None if ranking.knows(key) else self.no_orders,
            self.items: items,
        }


def _open_products(registry: Registry, version: str) -> ProductRanking:
    from models.products.published import open_version

    return open_version(registry, version)


def _open_categories(registry: Registry, version: str) -> CategoryRanking:
    from models.categories.published import open_version

    return open_version(registry, version)


PRODUCTS = RankingKind(
    "products", "products", "product_id",
    "no orders of this customer were known by then; these are popular with everyone", 500, _open_products,
)  # fmt: skip
CATEGORIES = RankingKind(
    "category_propensity", "categories", "category",
    "has not ordered yet, as far as was known by then", 5000, _open_categories,
)  # fmt: skip
