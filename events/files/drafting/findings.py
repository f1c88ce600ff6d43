"""What is found out of a file: the roles of its columns, and how its times and numbers are written."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from core.storage import sql
from events.files.drafting import numbers, skeleton, times
from events.files.drafting.profiles import SAMPLE, SAMPLE_ROWS
from events.files.drafting.roles import Roles, SampledColumns, assign, examine
from events.files.drafting.skeleton import quoted
from events.files.drafting.times import TimeStyle
from events.files.readers.source import ROW_NUMBER, Source

_WHOLE = "whole"  # all rows of the columns that are decided over all of them


@dataclass(frozen=True)
class Findings:
    """What was found out of a file.

    Attributes:
        time_columns: the column of the time, or those of the date and of the time of day.
    """

    connection: duckdb.DuckDBPyConnection
    columns: SampledColumns
    roles: Roles
    time_columns: tuple[str, ...]
    style: TimeStyle | None
    number_style: numbers.NumberStyle

    def rivals(self, role: str) -> str:
        """The columns that compete for a role, with values where they can name nobody."""
        names = []
        for name in self.roles.rivals.get(role, ()):
            values = "" if role == "customer" else skeleton.shown_values(self.columns.profiles[name])
            names.append(quoted(name) + (f" ({values})" if values else ""))
        return f"or {' or '.join(names)}?" if names else ""


def find_out(connection: duckdb.DuckDBPyConnection, source: Source) -> Findings:
    """Roles by a sample; times and numbers by all rows."""
    texts = {name: f"trim({sql.name(name)}::VARCHAR) AS {sql.name(name)}" for name in source.names}
    number = sql.name(ROW_NUMBER)
    source.relation.limit(SAMPLE_ROWS).project(", ".join([number, *texts.values()])).create(SAMPLE)
    columns = examine(connection, source.names, are_named=source.file.header is not False)
    roles = assign(connection, columns)
    money = [roles[role] for role in ("amount", "unit_price", "discount", "quantity") if role in roles]
    time_columns: tuple[str, ...] = ()
    if "time" in roles:
        has_clock = columns.styles[roles["time"]].has_clock
        time_columns = (roles["time"], *(() if has_clock else columns.clocks[:1]))
    needed = dict.fromkeys([*time_columns, *money])
    source.relation.project(", ".join([number, *(texts[name] for name in needed)])).create(_WHOLE)
    style = times.time_style(connection, _WHOLE, time_columns, named_time=True) if time_columns else None
    if style is None and len(time_columns) > 1:  # a time of day that the date cannot be read with
        time_columns = time_columns[:1]
        style = times.time_style(connection, _WHOLE, time_columns, named_time=True)
    number_style = numbers.number_style(connection, _WHOLE, [name for name in money if name in needed])
    return Findings(connection, columns, roles, time_columns, style, number_style)
