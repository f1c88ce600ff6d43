"""What a draft says of a file in which no customer or no time was recognized: all columns, as comments."""

from __future__ import annotations

import json

from events.files.drafting import hints
from events.files.drafting.profiles import ColumnProfile
from events.files.drafting.roles import Roles, SampledColumns

MAX_SHOWN_LENGTH = 25  # mean characters; longer texts are somebody's words
_HEADERS = ("column", "content", "filled", "different", "such as")


def lines(columns: SampledColumns, roles: Roles, file_name: str) -> list[str]:
    """The comments of the skeleton: what is missing, what to do, and every column with its content."""
    missing = [what for role, what in (("customer", "a customer"), ("time", "a time")) if role not in roles]
    text = [f"# No column looks like {' or '.join(missing)}."]
    if "time" not in roles:
        text += [
            "# A table with one row per customer and without times needs no mapping:",
            f"#   patron train --table {file_name} --target COLUMN",
        ]
    text += ["# Else name the columns below, in place of the dots:", "", "# [orders]"]
    named = {role: name for role, name in roles.columns.items() if roles.scores[role].by_name}
    text += [
        f"# {role} = {quoted(named.get(role, '...'))}" for role in ("customer", "time", "order", "amount")
    ]
    rows = [_HEADERS, *(_row(column, columns) for column in columns.profiles.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADERS))]
    cells = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [*text, "", *(f"# {line.rstrip()}" for line in cells)]


def quoted(text: str) -> str:
    """A text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown_values(column: ColumnProfile) -> str:
    """Common values of a column; nothing of a column that may name people or holds their words."""
    if (
        hints.PERSONAL.search(column.name)
        or column.mails
        or (column.phones > 0.5 and not column.is_numeric)
        or column.length > MAX_SHOWN_LENGTH
        or (not column.is_numeric and column.unique and column.rows > 2)
    ):
        return ""
    return ", ".join(column.samples)


def _row(column: ColumnProfile, columns: SampledColumns) -> tuple[str, ...]:
    kind = "times" if column.name in columns.styles and not column.is_numeric else column.kind
    known = kind == "times" and not hints.PERSONAL.search(column.name)
    shown = column.is_numeric or columns.are_named  # texts of a column without a name may be anybody's
    values = ", ".join(column.samples) if known else shown_values(column) if shown else ""
    name = " ".join(column.name.split())
    return (
        name, "times of day" if column.name in columns.clocks else kind,
        f"{column.filled / max(1, column.rows):.0%}", f"{column.distinct:,}", " ".join(values.split()),
    )  # fmt: skip
