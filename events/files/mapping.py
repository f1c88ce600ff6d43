"""A mapping: which column of a file is the customer, the time, the amount ... As TOML, by hand.

The sources that come with Patron are mappings too: ``online_retail.toml``, ``cdnow.toml``.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import PatronError, meant

HERE = Path(__file__).parent
BUILT_IN = {path.stem.replace("_", "-"): path for path in sorted(HERE.glob("*.toml"))}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShopSection(_Section):
    """How days and money of these rows count: the IANA time zone and the ISO 4217 currency."""

    time_zone: str
    currency: str = Field(pattern="^[A-Z]{3}$")

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{zone!r} is no time zone; use a name such as Europe/London") from error
        return zone


class FileSection(_Section):
    """How a file is written; what is left out is detected.

    Attributes:
        encoding: a codec of Python, such as utf-8, utf-16, cp1252, latin-1 or gb18030.
        delimiter: between cells; ``whitespace`` for runs of blanks.
        skip_lines: lines of a text file, or rows of a sheet, above the names of the columns.
        sheet: of a spreadsheet; by default the first that holds a table.
    """

    encoding: str | None = None
    delimiter: str | None = Field(default=None, pattern='^([^\\r\\n"]|whitespace)$')
    skip_lines: int | None = Field(default=None, ge=0)
    sheet: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str | None) -> str | None:
        try:
            if encoding is not None:
                "".encode(encoding)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"{encoding!r} is no encoding; use a name such as utf-8, cp1252 or gb18030"
            ) from error
        return encoding


class Match(_Section):
    """Rows by one column: its text starts with, or is one of, or its number is below 0."""

    column: str
    starts_with: str | None = None
    one_of: tuple[str, ...] = ()
    negative: bool = False


class CategoryWords(_Section):
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


def _listed(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns of a role that may have several."""
    return (columns,) if isinstance(columns, str) else columns or ()


class OrdersSection(_Section):
    """One row is one line of an order, or a return.

    Attributes:
        time: a column, or those of the date and of the time of day.
        time_formats: tried in turn: of strptime, or epoch_s, epoch_ms, epoch_us or excel (days); without any,
            ISO 8601 or the column's own type.
        received_at: when the company could know of the row; ``time`` by default.
        order: the order's number; without it a customer's rows of one day are one order.
        amount: what was paid for the line; or ``quantity`` × ``unit_price``.
        discount: what was taken off the line before ``amount``.
        currency: a column; rows in another currency than the shop's are set aside.
        returns: rows that take something back.
        adjustments: rows that are bookkeeping and not trade; set aside.
        identical_lines: of lines equal in every mapped column keep one, or all.
        free_lines: lines that cost nothing.
        traits: what rows tell of the customer, as trait = column.
    """

    customer: str
    time: str | tuple[str, ...]
    time_formats: tuple[str, ...] = ()
    received_at: str | None = None
    order: str | None = None
    product: str | None = None
    category: str | None = None
    category_words: CategoryWords | None = None
    quantity: str | None = None
    unit_price: str | None = None
    amount: str | None = None
    discount: str | None = None
    currency: str | None = None
    returns: Match | None = None
    adjustments: Match | None = None
    identical_lines: Literal["one", "all"] = "one"
    free_lines: Literal["set_aside", "keep"] = "set_aside"
    traits: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_money(self) -> OrdersSection:
        if self.amount is None and (self.unit_price is None or self.quantity is None):
            raise ValueError("name an amount column, or a quantity and a unit_price column")
        if self.category is not None and self.category_words is not None:
            raise ValueError("name category or category_words, not both")
        return self

    def columns(self) -> list[str]:
        """Every column of the file that the section names, each once."""
        single = (
            self.customer, *_listed(self.time), self.received_at, self.order, self.product, self.category,
            self.quantity, self.unit_price, self.amount, self.discount, self.currency,
        )  # fmt: skip
        words = self.category_words
        matches = (self.returns, self.adjustments, words and words.none_for)
        named = [*single, words and words.column, *(m and m.column for m in matches), *self.traits.values()]
        return list(dict.fromkeys(name for name in named if name))


class CustomersSection(_Section):
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
        return self

    def columns(self) -> list[str]:
        """Every column of the file that the section names, each once."""
        named = [self.customer, *_listed(self.time), *self.traits.values()]
        return list(dict.fromkeys(name for name in named if name))


class Mapping(_Section):
    """What a file says: about orders, or about customers."""

    shop: ShopSection
    file: FileSection = FileSection()
    orders: OrdersSection | None = None
    customers: CustomersSection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Mapping:
        if (self.orders is None) == (self.customers is None):
            raise ValueError("have a section [orders], or a section [customers]")
        return self

    def columns(self) -> list[str]:
        """Every column of the file that is mapped."""
        section = self.orders or self.customers
        assert section is not None
        return section.columns()


def text(name: str) -> str:
    """The TOML of a source that comes with Patron, or of a mapping file.

    Raises:
        PatronError: there is neither.
    """
    path = BUILT_IN.get(name, Path(name))
    if not path.is_file():
        raise PatronError(
            f"--as {name}: there is neither such a source ({', '.join(BUILT_IN)}) nor such a mapping file;"
            " `patron import FILE --inspect` drafts one"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PatronError(f"{name}: this is not a TOML file: {error}") from error


def load(name: str) -> Mapping:
    """A mapping by the name of its source or file.

    Raises:
        PatronError: there is none, or it is not a mapping; says where it is wrong.
    """
    try:
        return Mapping.model_validate(tomllib.loads(text(name)))
    except tomllib.TOMLDecodeError as error:
        raise PatronError(f"{name}: this is not a TOML file: {error}") from error
    except ValidationError as error:
        raise PatronError(f"{name}: {_message(error)}") from error


def _message(error: ValidationError) -> str:
    parts = []
    for e in error.errors():
        where = ".".join(str(part) for part in e["loc"])
        parts.append(f"{where}: {meant(e)}" if where else meant(e))
    return "; ".join(parts)
