"""A mapping: which column of a file is the customer, the time, the amount ... As TOML, by hand.

The sources that come with Patron are mappings too: ``online_retail.toml``, ``cdnow.toml``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator

from core.declarations import traits
from core.declarations.traits import TraitDeclaration
from core.errors import PatronError, meant
from events.files.orders_section import OrdersSection
from events.files.sections import ActivitiesSection, CustomersSection, RatesSection, Section

HERE = Path(__file__).parent
BUILT_IN = {path.stem.replace("_", "-"): path for path in sorted(HERE.glob("*.toml"))}


class ShopSection(Section):
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


class FileSection(Section):
    """How a file is written; what is left out is detected.

    Attributes:
        encoding: a codec of Python, such as utf-8, utf-16, cp1252, latin-1 or gb18030.
        delimiter: between cells; ``whitespace`` for runs of blanks.
        skip_lines: lines of a text file, or rows of a sheet, above the names of the columns.
        header: false where there are no names of columns; they are ``column0``, ``column1`` ... then.
        sheet: of a spreadsheet; by default the first that holds a table.
    """

    encoding: str | None = None
    delimiter: str | None = Field(default=None, pattern='^([^\\r\\n"]|whitespace)$')
    skip_lines: int | None = Field(default=None, ge=0)
    header: bool | None = None
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


class Mapping(Section):
    """What a file says: about orders, customers, or activities.

    Attributes:
        traits: which of the mapped traits are features, as ``home.toml`` declares them.
    """

    shop: ShopSection
    file: FileSection = FileSection()
    orders: OrdersSection | None = None
    customers: CustomersSection | None = None
    activities: ActivitiesSection | None = None
    rates: RatesSection | None = None
    traits: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Mapping:
        sections = [s for s in (self.orders, self.customers, self.activities) if s is not None]
        if len(sections) != 1:
            raise ValueError("have one of the sections [orders], [customers] and [activities]")
        if self.rates is not None and self.orders is None:
            raise ValueError("[rates] converts the amounts of [orders]; leave it out here")
        if self.file.thousands and self.file.thousands == self.file.decimal:
            raise ValueError("file.thousands and file.decimal are the same sign; they must differ")
        return self

    @model_validator(mode="after")
    def _declares_traits_that_it_maps(self) -> Mapping:
        try:
            declared = self.declared_traits()
        except PatronError as error:
            raise ValueError(str(error)) from error
        section = self.orders or self.customers
        mapped = section.traits if section else {}
        for declaration in declared:
            if declaration.trait not in mapped:
                there = f"the mapped traits are {', '.join(mapped)}" if mapped else "no trait is mapped"
                raise ValueError(f"[traits] declares {declaration.trait!r}, which no column is; {there}")
        return self

    def declared_traits(self) -> tuple[TraitDeclaration, ...]:
        """The traits that become features, in the order of the section ``traits``."""
        return traits.parse(self.traits, "")

    def columns(self) -> list[str]:
        """Every column of the file that is mapped."""
        section = self.orders or self.customers or self.activities
        assert section is not None
        return section.columns()


def folder(name: str) -> Path:
    """The folder of a mapping file, to which the paths in it are relative."""
    return BUILT_IN.get(name, Path(name)).parent


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
