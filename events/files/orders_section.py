"""The section [orders] of a mapping."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from events.files.sections import Section, listed, need_different_columns


class Match(Section):
    """Rows by one column: its text starts with, or is one of, or its number is below 0."""

    column: str
    starts_with: str | None = None
    one_of: tuple[str, ...] = ()
    negative: bool = False

    @model_validator(mode="after")
    def _has_a_test(self) -> Match:
        if self.starts_with is None and not self.one_of and not self.negative:
            raise ValueError('name one_of = [...], starts_with = "..." or negative = true')
        return self


class CategoryWords(Section):
    """Categories by words: the first one whose words (``A|B``) stand in a text; else ``other``.

    Attributes:
        none_for: rows without any category, such as postage.
    """

    column: str
    words: dict[str, str]
    other: str = "other"
    none_for: Match | None = None

    @field_validator("words")
    @classmethod
    def _readable(cls, words: dict[str, str]) -> dict[str, str]:
        for pattern in words.values():
            re.compile(pattern)
        return words


class OrdersSection(Section):
    """One row is one line of an order, or a return.

    Attributes:
        time: a column, or those of the date and of the time of day.
        time_formats: tried in turn: of strptime, or epoch_s, epoch_ms, epoch_us or excel (days); without any,
            ISO 8601 or the column's own type.
        received_at: when the company could know of the row; ``time`` by default.
        order: the order's number.
        order_numbers: whether a number stands for one order of a customer, for one order per day, or which
            of the two is decided over the file.
        orders_by: without ``order``: each row is an order, or a customer's rows of one day are one.
        quantity: pieces, kilograms, hours; may be a fraction.
        amount: what was paid for the line; or ``quantity`` × ``unit_price``.
        no_amounts: whether the file has no money at all: purchases without amounts.
        discount: what was taken off the line, by ``discount_as`` money or a share (0.2, 20 or 20 %).
        amount_is: whether the amount is what remains after ``discount``, or before it.
        order_total: what the customer paid for the whole order; on each of its rows, or on the first.
        order_tax, order_shipping: parts of ``order_total`` that are not revenue.
        order_discount: what was taken off the whole order.
        currency: a column; amounts in another currency than the shop's are converted by the mapping's
            rates, else rejected.
        returns: rows that take something back.
        cancelled: rows that count as nothing.
        refunded: rows that are a sale and its refund.
        refunded_amount: money given back for the line.
        order_refunded: money given back for the whole order; on each of its rows, or on the first.
        refunded_at: when money was given back; ``time`` by default.
        adjustments: rows that are bookkeeping and not trade; rejected.
        identical_lines: of lines equal in every mapped column keep one, or all.
        free_lines: lines that cost nothing.
        traits: what rows tell of the customer, as trait = column.
    """

    customer: str
    time: str | tuple[str, ...]
    time_formats: tuple[str, ...] = ()
    received_at: str | None = None
    order: str | None = None
    order_numbers: Literal["auto", "unique", "per_day"] = "auto"
    orders_by: Literal["day", "row"] = "day"
    product: str | None = None
    category: str | None = None
    category_words: CategoryWords | None = None
    quantity: str | None = None
    unit_price: str | None = None
    amount: str | None = None
    no_amounts: bool = False
    discount: str | None = None
    discount_as: Literal["money", "share"] = "money"
    amount_is: Literal["after_discount", "before_discount"] = "after_discount"
    order_total: str | None = None
    order_tax: str | None = None
    order_shipping: str | None = None
    order_discount: str | None = None
    currency: str | None = None
    returns: Match | None = None
    cancelled: Match | None = None
    refunded: Match | None = None
    refunded_amount: str | None = None
    order_refunded: str | None = None
    refunded_at: str | None = None
    adjustments: Match | None = None
    identical_lines: Literal["one", "all"] = "one"
    free_lines: Literal["set_aside", "keep"] = "set_aside"
    traits: dict[str, str] = Field(default_factory=dict)

    @property
    def has_line_amounts(self) -> bool:
        """Whether each row has an amount of its own."""
        return self.amount is not None or (self.unit_price is not None and self.quantity is not None)

    @model_validator(mode="after")
    def _has_money(self) -> OrdersSection:
        if self.no_amounts:
            self._without_money()
        elif not self.has_line_amounts and self.order_total is None:
            raise ValueError(
                "name an amount column, or a quantity and a unit_price column, or an order_total column; or"
                " say no_amounts = true for purchases without money"
            )
        if self.category is not None and self.category_words is not None:
            raise ValueError("name category or category_words, not both")
        if self.order is not None and self.orders_by == "row":
            raise ValueError('orders_by = "row" is for files without an order number; leave out one of them')
        if self.order_total is None and (self.order_tax or self.order_shipping):
            raise ValueError("order_tax and order_shipping are parts of order_total; name that column too")
        need_different_columns(
            [
                *((role, getattr(self, role)) for role in _ROLES),
                *(("time", name) for name in listed(self.time)),
            ]
        )
        return self

    def _without_money(self) -> None:
        named = [role for role in _MONEY if getattr(self, role) is not None]
        if named:
            raise ValueError(f"no_amounts = true, and yet there is {', '.join(named)}; leave out one of them")

    def columns(self) -> list[str]:
        """Every column of the file that the section names, each once."""
        words = self.category_words
        matches = (self.returns, self.cancelled, self.refunded, self.adjustments, words and words.none_for)
        named = [
            *listed(self.time),
            *(getattr(self, role) for role in _ROLES),
            words and words.column,
            *(m and m.column for m in matches),
            *self.traits.values(),
        ]
        return list(dict.fromkeys(name for name in named if name))


_MONEY = (
    "unit_price", "amount", "discount", "order_total", "order_tax", "order_shipping", "order_discount",
    "refunded_amount", "order_refunded",
)  # fmt: skip
_ROLES = (
    "customer", "received_at", "order", "product", "category", "quantity", *_MONEY, "currency", "refunded_at",
)  # fmt: skip
