"""The order lines that say what customers buy: each person's once, and which products are no merchandise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import ibis.expr.types as ir

from core.home import Home
from events import lake
from events.files import mapping


@dataclass(frozen=True)
class Merchandise:
    """A shop's order lines up to its present.

    Attributes:
        order_lines: see :mod:`events.schema`; all versions of each order (``replaced_at``), and of customers
            who turned out to be another, only the other's.
        never: products that are no merchandise, such as postage.
    """

    order_lines: ir.Table
    as_of: datetime
    time_zone: str
    never: tuple[str, ...]


def merchandise(home: Home) -> Merchandise:
    """What the customers of a home have bought up to its present.

    Raises:
        PatronError: there is no shop, or its lake cannot be read.
    """
    shop = home.shop()
    now = shop.now()
    events = lake.read(home, lake.backend_of(home)).known_at(now)
    lines = events.order_lines
    if events.merges is not None:  # their orders stand under the other's key too
        lines = lines.anti_join(events.merges, "customer_key")
    return Merchandise(lines, now, shop.time_zone, _no_merchandise(shop.source))


def _no_merchandise(source: str) -> tuple[str, ...]:
    """The products that a built-in source says have no category, such as postage; none of other sources."""
    if source not in mapping.BUILT_IN:
        return ()
    orders = mapping.load(source).orders
    words = orders and orders.category_words
    return words.none_for.one_of if words and words.none_for else ()
