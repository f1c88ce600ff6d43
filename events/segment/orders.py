"""Orders, refunds and cancellations of the Segment specification as lines, exact to the last unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from events.segment.values import (
    LONGEST_TEXT,
    MAX_UNITS,
    Unfit,
    json_text,
    money,
    pieces,
    scalar,
    shares,
    signed_units,
    text,
    units,
)

UPDATED = "Order Updated"
ORDERED = ("Order Completed", UPDATED)
CANCELLED = "Order Cancelled"
GIVEN_BACK = ("Order Refunded", CANCELLED)
_TOTALS = ("revenue", "subtotal", "total", "value")  # what was paid for things, without post and taxes, first
_NOT_PAID_FOR_THINGS = ("tax", "shipping")
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


def order_lines(properties: Mapping[str, Any], order_id: str, currency: str) -> tuple[list[list[Any]], str]:
    """The rows of an order, without customer and moments, and why products are missing among them.

    A product that cannot be used is left out, and the reason says why; it is empty where all can be used.

    Raises:
        Unfit: an amount, quantity or the currency cannot be used, and no product can.
    """
    check_currency(properties, currency)
    lines, doubt = _lines(properties)
    rows = [
        [order_id, product, category, quantity, money(gross - discount), money(discount)]
        for product, category, quantity, gross, discount in lines
    ]
    return rows, doubt


def with_moments(head: list[int], lines: list[list[Any]], *, flag: bool) -> list[list[Any]]:
    """Lines as the journal stores them, after the moments; a flag that is true stands at their end."""
    return [[*head, *line, *([True] if flag else [])] for line in lines]


def named_decision(head: list[Any], properties: Mapping[str, Any], order_id: str) -> dict[str, Any]:
    """The activity that says which decision an order followed, by table; empty if it names no decision.

    Args:
        head: the columns of the activity before its reference.
    """
    decision_id = scalar(properties.get("decision_id"))
    if decision_id is None or len(decision_id) > LONGEST_TEXT:
        return {}
    about = json_text({"decision_id": decision_id, "order_id": order_id})
    return {"activities": [[*head, decision_id, None, None, None, about]]}


def refunds(properties: Mapping[str, Any], currency: str) -> tuple[list[list[Any]], str]:
    """The rows of a refund or cancellation, and why products are missing, as :func:`order_lines` has them.

    One that names its order needs no amount: it is the rest of the order, or the order's price of a product.

    Raises:
        Unfit: an amount, quantity or the currency cannot be used, and no product can; or there is no amount
            and no order.
    """
    check_currency(properties, currency)
    order_id = text(properties, "order_id")
    if order_id is not None and (unpriced := _unpriced(properties)) is not None:
        return [[order_id, *line, None, True] for line in unpriced], ""
    lines, doubt = _lines(properties)
    rows = [
        [order_id, product, category, quantity, money(gross - discount), order_id is not None]
        for product, category, quantity, gross, discount in lines
    ]
    return rows, doubt


def _unpriced(properties: Mapping[str, Any]) -> list[tuple[str | None, str | None, int]] | None:
    """Product, category and quantity of what is given back without any amount; None if there is one."""
    if _total(properties) is not None:
        return None
    listed = _listed(properties)
    if not listed:
        return [(None, None, 1)]
    products = [product for product in listed if isinstance(product, dict)]
    if len(products) < len(listed) or any(product.get("price") not in (None, "") for product in products):
        return None
    names = [text(product, "product_id", "sku") for product in products]
    if None in names:
        return None
    return [
        (name, text(product, "category"), pieces(product.get("quantity"), f"products[{i}].quantity"))
        for i, (name, product) in enumerate(zip(names, products, strict=True))
    ]


def _listed(properties: Mapping[str, Any]) -> list[Any]:
    listed = properties.get("products")
    if listed is not None and not isinstance(listed, list):
        raise Unfit("products is not a list")
    return listed or []


def _lines(properties: Mapping[str, Any]) -> tuple[list[Line], str]:
    """The lines: each product's price times quantity, less its discount and its share of the order's.

    Products that cannot be used are left out, with the first one's reason.
    """
    listed = _listed(properties)
    discount = units(properties.get("discount"), "discount") or 0
    if not listed:
        total = _total(properties)
        if total is None:
            raise Unfit("there are neither products nor revenue or total")
        return [(None, None, 1, total + discount, discount)], ""
    priced, doubts = _priced(properties, [product if isinstance(product, dict) else {} for product in listed])
    left = [line[3] - line[4] for line in priced]
    rest = max(0, discount - sum(line[4] for line in priced))  # the order's discount is the whole
    if rest > sum(left) or sum(line[3] for line in priced) > MAX_UNITS:
        raise Unfit("discounts are larger than prices, or the whole is too large")
    return [
        (product, category, quantity, gross, own + share)
        for (product, category, quantity, gross, own), share in zip(priced, shares(rest, left), strict=True)
    ], (doubts[0] if doubts else "")


def _priced(properties: Mapping[str, Any], products: list[dict[str, Any]]) -> tuple[list[Line], list[str]]:
    """Each product's line with its own discount, and why others have none.

    Raises:
        Unfit: none can be used.
    """
    total = _total(properties) if all(p.get("price") in (None, "") for p in products) else None
    divided = None
    if total is not None:
        whole = total + (units(properties.get("discount"), "discount") or 0)
        divided = iter(shares(whole, [pieces(p.get("quantity"), f"products[{i}].quantity")
                                      for i, p in enumerate(products)]))  # fmt: skip
    lines: list[Line] = []
    doubts: list[str] = []
    for i, product in enumerate(products):
        try:
            quantity = pieces(product.get("quantity"), f"products[{i}].quantity")
            price = units(product.get("price"), f"products[{i}].price")
            own = units(product.get("discount"), f"products[{i}].discount") or 0
            if price is None and divided is None:
                raise Unfit(f"products[{i}] has no price")
            gross = next(divided) if divided is not None else (price or 0) * quantity
            if own > gross or gross > MAX_UNITS:
                raise Unfit("discounts are larger than prices, or the whole is too large")
            lines.append(
                (text(product, "product_id", "sku"), text(product, "category"), quantity, gross, own)
            )
        except Unfit as unfit:
            doubts.append(str(unfit))
    if not lines:
        raise Unfit(doubts[0])
    return lines, doubts


def _total(properties: Mapping[str, Any]) -> int | None:
    """What was paid for things: the revenue, or the total without tax and shipping."""
    for name in _TOTALS:
        amount = units(properties.get(name), name)
        if amount is not None and name == "total":
            # A word there says how it was sent, and is no amount.
            amount -= sum(max(0, signed_units(properties.get(part)) or 0) for part in _NOT_PAID_FOR_THINGS)
            if amount < 0:
                raise Unfit("tax and shipping are larger than the total")
        if amount is not None:
            return amount
    return None
