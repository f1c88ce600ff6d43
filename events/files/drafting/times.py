"""How the times of a column are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import duckdb

from core.storage import sql
from events.files.expressions import EXCEL_DAYS, NUMERIC_TIMES, joined_texts, moment_of
from events.files.readers.source import ROW_NUMBER

FIRST_YEAR, LAST_YEAR = 1950, 2100
PROBE_VALUES = 100
MIN_SHARE = 0.5
"""Share of the filled cells that a column of times can be read of, at least."""
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y",
    "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%y/%m/%d", "%m.%d.%Y", "%Y%m%d",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
    "%d. %B %Y", "%Y年%m月%d日",
)  # fmt: skip
_CLOCKS = (
    "", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %I:%M%p", "T%H:%M:%S", "T%H:%M", ", %H:%M",
    ", %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S.%f", "%H%M%S", " %H.%M", " %H时%M分",
)  # fmt: skip
_ZONES = ("%z", " %z")
_DIGITS = {"epoch_s": r"^\d{9,10}(\.\d+)?$", "epoch_ms": r"^\d{12,13}$", "epoch_us": r"^\d{15,16}$"}
_EXCEL = r"^[2-7]\d{4}([.,]\d+)?$"  # 1954 to 2119
_DATE_LIKE = re.compile(
    r"\d{1,4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,4}|\d{8}(\d{6})?$"
    r"|\d{1,2}\.?[\s-][^\W\d]{3,9}\.?,?[\s-]\d{2,4}|[^\W\d]{3,9}\.?\s\d{1,2},?\s\d{4}"
)
TIME_OF_DAY = r"^\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?(\s?[AaPp]\.?[Mm]\.?)?$"


@dataclass(frozen=True)
class TimeStyle:
    """How times are written.

    Attributes:
        formats: as in a mapping; none for ISO 8601.
        share: of the filled cells, those that can be read.
        doubt: what cannot be decided, in words.
        has_clock: whether some times are not midnight.
        digits: whether they are numbers, which may be something else.
    """

    formats: tuple[str, ...]
    share: float
    doubt: str
    has_clock: bool
    digits: bool


def time_style(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], *, named_time: bool
) -> TimeStyle | None:
    """The style of a column, or of the columns of a date and a time of day; None if it holds no times.

    Args:
        named_time: whether the name says that it is a time; only then numbers may be spreadsheet days.
    """
    text = joined_texts([sql.name(column) for column in columns])
    first = sql.name(columns[0])
    filled = (
        f"(SELECT {text} AS text, {sql.name(ROW_NUMBER)} AS position FROM {table} WHERE trim({first}) <> '')"
    )
    probe = _probe(connection, filled)
    if not probe:
        return None
    candidates: list[tuple[str, ...]] = [(), *((name,) for name in _numeric(probe, named_time))]
    candidates += [(name,) for name in _fitting(probe)]
    shares = {formats: _share(connection, filled, formats) for formats in candidates}
    fitting = {formats: share for formats, share in shares.items() if share > 0}
    if not fitting:
        return None
    whole = [formats for formats in fitting if fitting[formats] == 1]
    if whole:
        formats, doubt = _decide(connection, filled, whole)
        return _style(connection, filled, formats, 1.0, doubt)
    formats = _together(connection, filled, fitting)
    share = _share(connection, filled, formats)
    if share < MIN_SHARE:
        return None
    several = "times are written in several ways, tried in this order; " if len(formats) > 1 else ""
    return _style(connection, filled, formats, share, f"{several}{1 - share:.1%} fit none")


def _probe(connection: duckdb.DuckDBPyConnection, filled: str) -> list[str]:
    rows = connection.execute(
        f"SELECT DISTINCT text FROM {filled} ORDER BY hash(text) LIMIT {PROBE_VALUES}"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _numeric(probe: list[str], named_time: bool) -> list[str]:
    """The numeric styles that all values of the probe look like."""
    patterns = _DIGITS | ({EXCEL_DAYS: _EXCEL} if named_time else {})
    return [name for name, pattern in patterns.items() if all(re.match(pattern, text) for text in probe)]


def _fitting(probe: list[str]) -> list[str]:
    """The formats that read some value of the probe."""
    if 2 * sum(bool(_DATE_LIKE.match(text)) for text in probe) < len(probe):
        return []
    joined = "\n".join(probe)
    clocks = [clock for clock in _CLOCKS if all(mark in joined.upper() for mark in _marks(clock))]
    formats = [date + clock for date, clock in product(_DATES, clocks)]
    if re.search(r":\d\d(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)$", joined, re.MULTILINE):
        formats += [f + zone for f, zone in product(formats, _ZONES) if "%H:" in f]
    return [f for f in formats if any(_fits(text, f) for text in probe)]


def _marks(clock: str) -> list[str]:
    """The characters that a text has if it has a time of day of this format."""
    marks = [mark for mark in (":", "T", ",", "时", ".") if mark in clock]
    return [*marks, "M"] if "%p" in clock else marks


def _fits(text: str, time_format: str) -> bool:
    try:
        parsed = datetime.strptime(text, time_format)  # noqa: DTZ007
    except ValueError:
        return False
    return FIRST_YEAR <= parsed.year <= LAST_YEAR


def _read(formats: Sequence[str]) -> str:
    return moment_of("text", formats, "UTC")


def _plausible(moment: str) -> str:
    return f"coalesce(year({moment}) BETWEEN {FIRST_YEAR} AND {LAST_YEAR}, false)"


def _share(connection: duckdb.DuckDBPyConnection, filled: str, formats: Sequence[str]) -> float:
    row = connection.execute(f"SELECT avg(({_plausible(_read(formats))})::INT) FROM {filled}").fetchone()
    return float(row[0] or 0) if row else 0.0


def _together(
    connection: duckdb.DuckDBPyConnection, filled: str, shares: dict[tuple[str, ...], float]
) -> tuple[str, ...]:
    """The formats that read the most cells when they are tried in turn."""
    chosen: tuple[str, ...] = ()
    best = 0.0
    for formats in sorted((f for f in shares if f), key=lambda f: -shares[f]):
        tried = chosen + formats
        share = _share(connection, filled, tried)
        if share > best:
            chosen, best = tried, share
        if best == 1:
            break
    return chosen if best > shares.get((), 0.0) else ()


def _decide(
    connection: duckdb.DuckDBPyConnection, filled: str, whole: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], str]:
    """Of formats that read every cell the one whose times rise with the rows, and what speaks for another.

    Where both rise, months come first in a time of 12 hours, which is written so in America.
    """
    different = {formats: _steps_back(connection, filled, formats) for formats in whole}
    first = whole[0]
    distinct = [f for f in whole[1:] if _differs(connection, filled, first, f)]
    if first == () or not distinct:
        return first, ""
    best = min([first, *distinct], key=lambda formats: (different[formats], not _is_american(formats)))
    others = ", ".join(f[0] for f in [first, *distinct] if f and f != best)
    return best, f"days, months and years could also be the other way round ({others})"


def _is_american(formats: Sequence[str]) -> bool:
    return formats[0].startswith("%m/%d") and "%p" in formats[0]


def _steps_back(connection: duckdb.DuckDBPyConnection, filled: str, formats: Sequence[str]) -> int:
    row = connection.execute(
        f"SELECT count(*) FILTER (moment < before) FROM (SELECT moment, lag(moment) OVER (ORDER BY position)"
        f" AS before FROM (SELECT {_read(formats)} AS moment, position FROM {filled}))"
    ).fetchone()
    return int(row[0]) if row else 0


def _differs(
    connection: duckdb.DuckDBPyConnection, filled: str, one: Sequence[str], other: Sequence[str]
) -> bool:
    row = connection.execute(
        f"SELECT bool_or({_read(one)} IS DISTINCT FROM {_read(other)}) FROM {filled}"
    ).fetchone()
    return bool(row and row[0])


def _style(
    connection: duckdb.DuckDBPyConnection, filled: str, formats: tuple[str, ...], share: float, doubt: str
) -> TimeStyle:
    moment = _read(formats)
    row = connection.execute(f"SELECT bool_or({moment}::TIME <> TIME '00:00') FROM {filled}").fetchone()
    digits = bool(formats) and (formats[0] in NUMERIC_TIMES or formats[0] in ("%Y%m%d", "%Y%m%d%H%M%S"))
    return TimeStyle(formats, share, doubt, bool(row and row[0]), digits)
