"""Days of a file that are probably wrong: in the future, far from the others, or swapped with months."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import duckdb

from core.calendar import date_of, day_of
from events.files import expressions
from events.files.mapping import Mapping
from events.files.review.finding import Finding
from events.lake import staging

FAR_DAYS = 365
"""A gap of more days, and twice as long as any other, before the last rows or after the first is doubtful."""
MAX_FAR_SHARE = 0.01
"""Share of the rows that may lie behind such a gap; of few rows, a single one."""
_SLASHED = r"^(\d{1,2})[/-](\d{1,2})[/-]\d{2,4}"


def implausible(
    connection: duckdb.DuckDBPyConnection, time_zone: str, now: datetime | None = None
) -> tuple[list[Finding], int | None]:
    """Warnings of days in the future or far from the others, over orders and refunds.

    Returns:
        The warnings; and the last plausible day, as days since 1970-01-01, which the shop's clock follows.
    """
    union = " UNION ALL ".join(f"SELECT timestamp FROM {table}" for table in ("order_lines", "refunds"))
    counts: list[tuple[int, int]] = connection.execute(
        f"SELECT {staging.local_day('timestamp', time_zone)} AS day, count(*) FROM ({union})"
        " GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if not counts:
        return [], None
    today = day_of(now or datetime.now(UTC), time_zone)
    findings = []
    future = [(day, n) for day, n in counts if day > today + 1]
    plausible = [(day, n) for day, n in counts if day <= today + 1]
    if future:
        rows = sum(n for _, n in future)
        findings.append(
            Finding(
                "days_in_future",
                rows,
                f"rows in the future: {rows:,}, up to {date_of(future[-1][0])}; the clock does not follow"
                " them. Correct their dates and import the file again",
            )
        )
    last = _behind_a_gap(plausible[::-1])
    if last:
        plausible = plausible[: -len(last)]
        findings.append(
            _far("last_day_far", last, f"after {date_of(plausible[-1][0])}", "; the clock does not follow")
        )
    if first := _behind_a_gap(plausible):
        findings.append(_far("first_day_far", first, f"before {date_of(plausible[len(first)][0])}", ""))
    return findings, plausible[-1][0] if plausible else None


def _behind_a_gap(counts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first of these days, if they are few and far from the rest."""
    total = sum(n for _, n in counts)
    most = max(1, int(total * MAX_FAR_SHARE))
    rows = 0
    for i, (day, n) in enumerate(counts[:-1]):
        rows += n
        if rows > most or rows * 2 > total:
            return []
        gaps = [abs(after[0] - before[0]) for before, after in pairwise(counts[i + 1 :])]
        gap = abs(counts[i + 1][0] - day)
        if gap > FAR_DAYS and gaps and gap > 2 * max(gaps):
            return counts[: i + 1]
    return []


def _far(code: str, days: list[tuple[int, int]], where: str, effect: str) -> Finding:
    rows = sum(n for _, n in days)
    listed = ", ".join(str(date_of(day)) for day, _ in days[:3])
    return Finding(
        code,
        rows,
        f"rows more than a year {where}: {rows:,} ({listed}){effect}. Correct the dates if they are wrong",
    )


def swapped(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> Iterator[Finding]:
    """A warning of dates such as 04/03/2024 whose day and month could be the other way round.

    Either no date of the file decides it, or the mapping reads days first and months first.
    """
    section = mapping.orders or mapping.customers or mapping.activities
    if section is None or section.time is None:
        return
    text = expressions.moment_text(section.time)
    parts = [f"regexp_extract({text}, '{_SLASHED}', {i})::INT" for i in (1, 2)]
    both = f"({parts[0]} <= 12 AND {parts[1]} <= 12 AND {parts[0]} <> {parts[1]})"
    slashed = f"regexp_matches({text}, '{_SLASHED}')"
    row = connection.execute(
        f"SELECT count(*) FILTER ({both}), count(*) FILTER (greatest({', '.join(parts)}) > 12)"
        f" FROM classified WHERE {slashed}"
    ).fetchone()
    assert row is not None
    ambiguous, decided = row
    orders = {
        ("%d" in f, f.find("%d") < f.find("%m")) for f in section.time_formats if "%d" in f and "%m" in f
    }
    if ambiguous and (not decided or len(orders) > 1):
        yield Finding(
            "days_and_months",
            ambiguous,
            f"rows whose day and month could be the other way round: {ambiguous:,}; see"
            " that time_formats has the right order and no other",
        )
