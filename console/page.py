"""A page: its address, the scope it needs, and a function that reads what its template shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.datastructures import QueryParams
from starlette.responses import Response

from console.words.messages import Translator
from core.home import Home
from serving.access.authentication import Caller
from serving.access.scopes import Scope
from serving.http.services import Services

Kind = Literal[
    "text", "long", "prose", "code", "data", "number", "change", "measure", "money", "percent", "day",
    "month", "moment",
]  # fmt: skip
"""``prose`` is a text of Patron, translated where it is shown; ``code`` a rule or the name of a feature;
``data`` a text of the shop, such as a customer's id; ``change`` a number with its sign.
"""
JobKind = Literal["scores", "decisions", "release", "plan"]
Row = Mapping[str, Any]
SHADES = 9  # of a heat table, besides none; ``.heat-1`` and so on in console.css
PREFIX = "/console"


@dataclass(frozen=True)
class Visit:
    """A request for a page.

    Attributes:
        path: the values of the path's parameters, by name.
        query: the parameters of the query.
        caller: who sent it; the page has checked its scope.
        is_masked: whether they must not see ids and traits in full, see :mod:`console.personal`.
        may_change: whether they are signed in, so that forms are shown and accepted.
    """

    home: Home
    services: Services
    caller: Caller
    is_masked: bool
    may_change: bool
    words: Translator
    path: Mapping[str, str]
    query: QueryParams


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: the key in each row.
        title: the message that is its heading.
        kind: how its values are written; numbers are aligned to the right.
        link: the key in each row of the address that a cell leads to; empty for none.
        heading: the heading where it is a value, such as a month; empty for the message.
        is_row_header: whether its cells are headings of their rows.
        heat: the value that has the strongest shade; 0 for a column without shades.
        note: the key in each row of a text below the value, with code in backticks; empty for none. It is
            not exported.
        is_exported_only: whether the page leaves it out, since a note has its values.
    """

    name: str
    title: str
    kind: Kind = "text"
    link: str = ""
    heading: str = ""
    is_row_header: bool = False
    heat: float = 0
    note: str = ""
    is_exported_only: bool = False

    def shade(self, value: Any) -> int:
        """The shade of a cell, from 0 to ``SHADES``; 0 without a value."""
        if not self.heat or value is None or value != value:
            return 0
        share: float = value / self.heat
        return round(SHADES * min(1.0, max(0.0, share)))


@dataclass(frozen=True)
class PageTable:
    """A table that a page shows and exports.

    Attributes:
        caption: the message that is its caption.
        rows: values by the name of a column; None for an unknown one. Text is in the user's language.
        empty: the message that is shown without rows.
        next: the query of the next page; empty for none.
        currency: of the money; empty for the shop's.
    """

    caption: str
    columns: Sequence[TableColumn]
    rows: Sequence[Row]
    empty: str = "table.empty"
    next: str = ""
    currency: str = ""

    @property
    def shown(self) -> list[TableColumn]:
        """The columns on the page."""
        return [column for column in self.columns if not column.is_exported_only]


@dataclass(frozen=True)
class Content:
    """What a template shows.

    Attributes:
        values: by the names that the template uses.
        tables: by the name in the address of their export.
        about: the object of an audited visit; nothing personal, so a customer's key and not the id. None if
            it shows no customer, and the visit has no entry.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, PageTable] = field(default_factory=dict)
    about: str | None = ""


@dataclass(frozen=True)
class ConsolePage:
    """A page of the console.

    Attributes:
        name: of its template, ``NAME.html``, its messages, ``NAME.title`` and ``NAME.lead``, and its exports.
        path: its address below ``/console``, such as ``/customers/{customer_key}``.
        scope: which callers may see it.
        load: reads its content. Raises PatronError if there is nothing to show; the text says what to do.
        in_menu: whether the menu has it.
        audited: what the audit log says of a visit, such as ``looked at a customer``; empty for nothing.
            ``Content.about`` is its object.
        reads_models: whether it says which models do not answer, and why.
        jobs: the kinds of jobs that change what it shows; those that run are named at its top.
    """

    name: str
    path: str
    scope: Scope
    load: Callable[[Visit], Content]
    in_menu: bool = True
    audited: str = ""
    reads_models: bool = False
    jobs: Sequence[JobKind] = ()


@dataclass(frozen=True)
class ConsoleFile:
    """A file of the console that is no page of its own, such as a report of a library.

    Attributes:
        path: its address below ``/console``.
        scope: which callers may see it.
        load: reads it. Raises PatronError if it does not exist; the text says what to do.
        exported: what the audit log says, such as ``exported customers``; empty for a file that names no
            customer. Roles that see customers masked are refused a file that has an entry.
    """

    path: str
    scope: Scope
    load: Callable[[Visit], Response]
    exported: str
