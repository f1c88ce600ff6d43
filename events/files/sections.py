"""The sections of a mapping for customers, activities and rates of currencies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A section of a mapping; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_SAME_COLUMN_ALLOWED = ({"product", "category"}, {"time", "received_at"}, {"time", "refunded_at"})
"""Pairs of roles that one column can have without contradiction."""


def need_different_columns(roles: Iterable[tuple[str, str | None]]) -> None:
    """Refuse roles that name one column.

    Raises:
        ValueError: two roles do, and they contradict each other.
    """
    by_column: dict[str, list[str]] = defaultdict(list)
    for role, column in roles:
        if column is not None:
            by_column[column].append(role)
    for column, names in by_column.items():
        if len(names) > 1 and set(names) not in _SAME_COLUMN_ALLOWED:
            raise ValueError(
                f"the column {column!r} is named by {' and by '.join(names)}; it can be only one"
            )


class RatesSection(Section):
    """A table of daily rates, with a row per day and currency, or with a column per currency.

    Attributes:
        file: its path, of any format that an import reads; relative to the folder of the mapping.
        day_formats: of strptime, tried in turn; without any, ISO 8601 or the column's own type.
        rate: a column: what one unit of the currency is worth in the shop's currency.
        inverse: whether rates are how many units of the currency one of the shop's is worth.
        max_age_days: an amount takes the latest rate that is at most so many days old; 0 is its own day's.

    Without ``currency`` and ``rate`` these are the columns of those names; where the file has neither, each
    column with the name of a currency, such as ``USD``, holds its rates.
    """

    file: str
    day: str = "day"
    day_formats: tuple[str, ...] = ()
    currency: str | None = None
    rate: str | None = None
    decimal: Literal[".", ","] = "."
    inverse: bool = False
    max_age_days: int = Field(default=0, ge=0, le=31)


def listed(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns of a role that may have several."""
    return (columns,) if isinstance(columns, str) else columns or ()


class CustomersSection(Section):
    """One row is one customer, and what is known of them since ``time``, or the date ``since``."""

    customer: str
    time: str | tuple[str, ...] | None = None
    time_formats: tuple[str, ...] = ()
    since: str | None = None
    traits: dict[str, str]

    @model_validator(mode="after")
    def _has_a_time(self) -> CustomersSection:
        if (self.time is None) == (self.since is None):
            raise ValueError("name a time column, or a date `since` which all of it is known")
        need_different_columns([("customer", self.customer), *(("time", name) for name in listed(self.time))])
        return self

    def columns(self) -> list[str]:
        """Every column of the file that the section names, each once."""
        named = [self.customer, *listed(self.time), *self.traits.values()]
        return list(dict.fromkeys(name for name in named if name))


class ActivitiesSection(Section):
    """One row is one thing that a customer did or that was done to them: a visit, a message, a review.

    Attributes:
        name: a column with the kind of each row.
        event: the event's name, the same for all rows; in place of ``name``.
        names: events by what stands in the column ``name``, such as ``mail_open = "Email Opened"``; a text
            that is not listed is the event's own name.
        reference: what it is about: a message, a ticket, a subscription, a cart.
        amount: what it was worth.
        properties: what else a row says, as property = column; ``rating`` and ``text`` of a review.
        identical_lines: of rows equal in every mapped column keep one, or all.
    """

    customer: str
    time: str | tuple[str, ...]
    time_formats: tuple[str, ...] = ()
    received_at: str | None = None
    name: str | None = None
    event: str | None = None
    names: dict[str, str] = {}
    channel: str | None = None
    reference: str | None = None
    product: str | None = None
    category: str | None = None
    amount: str | None = None
    properties: dict[str, str] = {}
    identical_lines: Literal["one", "all"] = "one"

    @model_validator(mode="after")
    def _has_a_name(self) -> ActivitiesSection:
        if (self.name is None) == (self.event is None):
            raise ValueError("name a column with the events' names, or one event for all rows (event = ...)")
        if self.event is not None and self.names:
            raise ValueError("names translates the column name; with event = ... there is none")
        roles = ("customer", "received_at", "name", "channel", "reference", "amount", "product", "category")
        columns = [(role, getattr(self, role)) for role in roles]
        need_different_columns([*columns, *(("time", name) for name in listed(self.time))])
        return self

    def columns(self) -> list[str]:
        """Every column of the file that the section names, each once."""
        named = [
            self.customer, *listed(self.time), self.received_at, self.name, self.channel,
            self.reference, self.product, self.category, self.amount, *self.properties.values(),
        ]  # fmt: skip
        return list(dict.fromkeys(name for name in named if name))
