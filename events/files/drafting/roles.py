"""Which column has which role: every candidate is scored by its name and by what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from core.storage import sql
from events.files.drafting import hints, times
from events.files.drafting.profiles import SAMPLE, ColumnProfile, determines, profile
from events.files.drafting.times import TimeStyle

CLOSE = 1.5
"""Candidates that differ by less compete: the draft names both."""
MIN_SCORE = 1.0
_BY_CONTENT = ("customer", "time", "order", "amount")
"""Roles that a column may have whatever its name; the others need a name that fits."""
_FEW = 50


@dataclass(frozen=True)
class Candidate:
    """A column for a role, with its score in points."""

    name: str
    score: float
    by_name: bool


@dataclass(frozen=True)
class SampledColumns:
    """The columns of the sample.

    Attributes:
        styles: of columns that hold times, how they are written.
        clocks: columns that hold a time of day alone.
        are_named: whether the file names its columns.
    """

    profiles: dict[str, ColumnProfile]
    styles: dict[str, TimeStyle]
    clocks: tuple[str, ...]
    are_named: bool = True


@dataclass(frozen=True)
class Roles:
    """The column of each role, and those that compete for it, the best first."""

    columns: dict[str, str]
    scores: dict[str, Candidate]
    rivals: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, role: str) -> bool:
        return role in self.columns

    def __getitem__(self, role: str) -> str:
        return self.columns[role]

    def get(self, role: str) -> str | None:
        """The column of a role; None without one."""
        return self.columns.get(role)


def examine(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], *, are_named: bool = True
) -> SampledColumns:
    """Profile the columns of the sample, and read their times.

    Args:
        are_named: whether the file names its columns.
    """
    profiles = {name: profile(connection, name) for name in names}
    filled = [name for name in names if profiles[name].filled]
    clocks = tuple(name for name in filled if _is_clock(connection, name))
    styles = {}
    for name in filled:
        named = hints.name_score("time", name) > 0
        if name not in clocks and (style := times.time_style(connection, SAMPLE, [name], named_time=named)):
            styles[name] = style
    return SampledColumns(profiles, styles, clocks, are_named)


def assign(connection: duckdb.DuckDBPyConnection, columns: SampledColumns) -> Roles:
    """Give each role the column with the highest score, the surest first; no column has two."""
    first = _best(_candidates(connection, columns, {}))
    known: dict[str, str] = {role: first[role].name for role in ("order", "customer") if role in first}
    candidates = _candidates(connection, columns, known)
    chosen = _best(candidates)
    taken = {candidate.name for candidate in chosen.values()}
    rivals = {}
    for role, best in chosen.items():
        near = [c for c in candidates[role] if c.name not in taken and best.score - c.score < CLOSE]
        rivals[role] = tuple(c.name for c in near)
    return Roles({role: c.name for role, c in chosen.items()}, chosen, rivals)


def _candidates(
    connection: duckdb.DuckDBPyConnection, columns: SampledColumns, known: dict[str, str]
) -> dict[str, list[Candidate]]:
    candidates: dict[str, list[Candidate]] = {}
    for role in ("time", "customer", "order", "received_at", "quantity", "unit_price", "amount", "discount",
                 "product", "category", "currency", "kind"):  # fmt: skip
        scored = []
        for column in columns.profiles.values():
            by_name = hints.name_score(role, column.name)
            content = _content(connection, role, column, columns, known)
            if content is None or (by_name <= 0 and role not in _BY_CONTENT):
                continue
            scored.append(Candidate(column.name, by_name + content, by_name > 0))
        candidates[role] = sorted(scored, key=lambda candidate: -candidate.score)
    return candidates


def _best(candidates: dict[str, list[Candidate]]) -> dict[str, Candidate]:
    chosen: dict[str, Candidate] = {}
    pairs = [(c.score, c.by_name, role, c) for role, scored in candidates.items() for c in scored]
    for score, _, role, candidate in sorted(pairs, key=lambda pair: (not pair[1], -pair[0])):
        taken = {c.name for c in chosen.values()}
        if score >= MIN_SCORE and role not in chosen and candidate.name not in taken:
            chosen[role] = candidate
    if "time" not in chosen:  # one that is named otherwise is better than none
        taken = {c.name for c in chosen.values()}
        free = [c for c in candidates["time"] if c.name not in taken]
        chosen |= {"time": free[0]} if free else {}
    return chosen


def _content(
    connection: duckdb.DuckDBPyConnection,
    role: str,
    column: ColumnProfile,
    columns: SampledColumns,
    known: dict[str, str],
) -> float | None:
    """The points that a column's content gives it for a role; None if it cannot have the role."""
    if not column.filled or column.name in columns.clocks:
        return None
    style = columns.styles.get(column.name)
    if role in ("time", "received_at"):
        named = hints.name_score("time", column.name) > 0 or role == "received_at"
        if style is None or (style.digits and not named and columns.are_named):
            return None
        return style.share + 0.5 * style.has_clock
    if style is not None and not (style.digits and columns.are_named):
        return None
    match role:
        case "customer":
            points = _as_customer(connection, column, known)
            return (
                points
                if points is None or columns.are_named
                else points + _as_customer_by_times(connection, column, columns)
            )
        case "order":
            points = _as_order(connection, column, known)
            by_times = not columns.are_named and _has_one_time(connection, column, columns)
            return points if points is None else points + by_times
        case "amount":
            return None if not column.is_numeric else 1.0 if column.whole < 0.9 else 0.0
        case "quantity" | "unit_price" | "discount":
            return 0.5 if column.is_numeric else None
        case "currency":
            return 1.0 if all(len(text) == 3 and text.isalpha() for text in column.samples) else None
        case "kind":
            return 0.5 if column.distinct <= _FEW and not column.is_numeric else None
        case "category":
            return 0.5 if column.repeats > 1.2 or column.rows < _FEW else -1.0
        case _:
            return 0.0 if column.numbers < 0.7 or column.whole > 0.99 else None


def _as_customer(
    connection: duckdb.DuckDBPyConnection, column: ColumnProfile, known: dict[str, str]
) -> float | None:
    if (column.is_numeric and column.whole < 0.99) or (column.distinct == 1 and column.rows > _FEW):
        return None
    points = 1.5 * column.mails
    if column.rows > 2:
        points += 0.5 if 1.0 < column.repeats < column.rows / 2 else -0.5
    if column.distinct < 5 and column.rows > _FEW:
        points -= 2.0
    order = known.get("order")
    if order and order != column.name and not column.unique:
        points += 0.5 if determines(connection, order, column.name) > 0.95 else -1.5
    return points


def _as_order(
    connection: duckdb.DuckDBPyConnection, column: ColumnProfile, known: dict[str, str]
) -> float | None:
    if (column.is_numeric and column.whole < 0.99) or (column.distinct == 1 and column.rows > _FEW):
        return None
    points = 1.5 if all(text.startswith("#") and text[1:2].isalnum() for text in column.samples) else 0.0
    points -= 1.5 * column.mails
    customer = known.get("customer")
    if customer and customer != column.name:
        points += 0.5 if determines(connection, column.name, customer) > 0.95 else -0.5
    return points


def _as_customer_by_times(
    connection: duckdb.DuckDBPyConnection, column: ColumnProfile, columns: SampledColumns
) -> float:
    """Points of a column without a name: customers come again at other times, and there are many of them."""
    if not 1.0 < column.repeats < column.rows / 2 or _has_one_time(connection, column, columns):
        return -1.0
    return 0.5 + column.distinct / column.filled


def _has_one_time(
    connection: duckdb.DuckDBPyConnection, column: ColumnProfile, columns: SampledColumns
) -> bool:
    """Whether each text of a column has one time, as an order's number does."""
    times_of = [name for name in columns.styles if name != column.name]
    return column.unique or any(determines(connection, column.name, name) > 0.95 for name in times_of)


def _is_clock(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    row = connection.execute(
        f"SELECT bool_and(regexp_matches({sql.name(name)}, {sql.literal(times.TIME_OF_DAY)})"
        f" AND contains({sql.name(name)}, ':')) FROM {SAMPLE} WHERE {sql.name(name)} <> ''"
    ).fetchone()
    return bool(row and row[0])
