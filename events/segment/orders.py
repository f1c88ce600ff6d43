"""Orders, refunds and cancellations of the Segment specification as lines, exact to the last unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from events.segment.values import MAX_UNITS, Unfit, money, pieces, shares, text, units

ORDERED = "Order Completed"
GIVEN_BACK = ("Order Refunded", "Order Cancelled")
_TOTALS = ("revenue", "subtotal", "total", "value")  # what was paid for things, without post and taxes, first
_CURRENCY = re.compile("[A-Za-z]{3}")

Line = tuple[str | None, str | None, int, int, int]
"""A line's product, category, quantity, gross amount and discount, both in units."""


def check_currency(properties: Mapping[str, Any], currency: str) -> None:
    """See that amounts are in the shop's currency, if they say.

    Raises:
        Unfit: they are not.
    """
    stated = properties.get("currency")
    if stated is None or stated == "":
        return
    if not isinstance(stated, str) or not _CURRENCY.fullmatch(stated):
        raise Unfit("currency is not a code of three letters")
    if stated.upper() != currency:
        raise Unfit(f"currency is not the shop's ({currency})")


def order_lines(properties: Mapping[str, Any], order_id: str, currency: str) -> list[list[Any]]:
    """The rows of a completed order, without customer and moments.

    Raises:
        Unfit: an amount, quantity or the currency cannot be used.
    """
    check_currency(properties, currency)
    return [
        [order_id, product, category, quantity, money(gross - discount), money(discount)]
        for product, category, quantity, gross, discount in _lines(properties)
    ]


def refunds(properties: Mapping[str, Any], currency: str) -> list[list[Any]]:
    """The rows of a refund or cancellation, of the whole order or of some products.

    Raises:
        Unfit: an amount, quantity or the currency cannot be used.
    """
    check_currency(properties, currency)
    order_id = text(properties, "order_id")
    return [
        [order_id, product, category, quantity, money(gross - discount), order_id is not None]
        for product, category, quantity, gross, discount in _lines(properties)
    ]


def _lines(properties: Mapping[str, Any]) -> list[Line]:
    """The lines: each product's price times quantity, less its discount and its share of the order's."""
    listed = properties.get("products")
    if listed is not None and not isinstance(listed, list):
        raise Unfit("products is not a list")
    discount = units(properties.get("discount"), "discount") or 0
    if not listed:
        total = _total(properties)
        if total is None:
            raise Unfit("there are neither products nor revenue or total")
        return [(None, None, 1, total + discount, discount)]
    products = [product if isinstance(product, dict) else {} for product in listed]
    quantities = [
        pieces(product.get("quantity"), f"products[{i}].quantity") for i, product in enumerate(products)
    ]
    prices = [units(product.get("price"), f"products[{i}].price") for i, product in enumerate(products)]
    gross = _gross(properties, prices, quantities)
    own = [
        units(product.get("discount"), f"products[{i}].discount") or 0 for i, product in enumerate(products)
    ]
    left = [amount - less for amount, less in zip(gross, own, strict=True)]
    rest = max(0, discount - sum(own))  # the order's discount is the whole, where lines name theirs
    if min(left) < 0 or rest > sum(left) or sum(gross) > MAX_UNITS:
        raise Unfit("discounts are larger than prices, or the whole is too large")
    return [
        (text(product, "product_id", "sku"), text(product, "category"), quantity, amount, less + share)
        for product, quantity, amount, less, share in zip(
            products, quantities, gross, own, shares(rest, left), strict=True
        )
    ]


def _gross(properties: Mapping[str, Any], prices: list[int | None], quantities: list[int]) -> list[int]:
    """Each line's amount before discounts; of the order's revenue where no product has a price."""
    known = [price for price in prices if price is not None]
    if len(known) == len(prices):
        return [price * quantity for price, quantity in zip(known, quantities, strict=True)]
    total = _total(properties)
    if known or total is None:
        raise Unfit(f"products[{prices.index(None)}] has no price")
    return shares(total + (units(properties.get("discount"), "discount") or 0), quantities)


def _total(properties: Mapping[str, Any]) -> int | None:
    for name in _TOTALS:
        if (amount := units(properties.get(name), name)) is not None:
            return amount
    return None
