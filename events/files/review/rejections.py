"""How much of a file was rejected: a warning, or the reason to refuse the file."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from events.files.mapping import Mapping
from events.files.rejected_rows import samples
from events.files.review.finding import Finding
from events.files.row_counts import RowCounts

MANY = 0.05
"""Share of rejected rows from which on they are worth a warning."""
_EXCLUDED = ("adjustment", "cancelled")
"""Reasons of rows that the mapping itself excludes."""
MAX_CURRENCIES = 5


def rejections(
    connection: duckdb.DuckDBPyConnection, counts: RowCounts, mapping: Mapping
) -> Iterator[Finding]:
    """Warnings of the share of rows that were rejected, and of their currencies."""
    rejected, considered = _considered(counts)
    if rejected and rejected >= MANY * considered:
        yield Finding(
            "rows_rejected",
            rejected,
            f"{rejected / considered:.1%} of the rows are rejected ({counts.reasons()});"
            f" `patron import --report` lists them{samples(connection)}",
        )
    if mapping.orders is None:
        return
    currencies = connection.execute(
        "SELECT coalesce(currency, 'none'), count(*) FROM classified"
        " WHERE reason IN ('other_currency', 'no_rate')"
        f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MAX_CURRENCIES}"
    ).fetchall()
    others = counts.rejected.get("other_currency", 0)
    listed = ", ".join(f"{code}: {n:,}" for code, n in currencies)
    if others:
        yield Finding(
            "other_currencies",
            others,
            f"rows in another currency than the shop's: {others:,} ({listed}); they are rejected. A table of"
            " daily [rates] converts them",
        )
    if gaps := counts.rejected.get("no_rate", 0):
        yield Finding(
            "rates_missing",
            gaps,
            f"rows for whose day the table of rates has none: {gaps:,} ({listed}); they are rejected. Add the"
            " days, or allow an older rate by max_age_days",
        )


def refused_because(connection: duckdb.DuckDBPyConnection, counts: RowCounts, mapping: Mapping) -> str:
    """Why a file whose rows are mostly rejected is not imported; "" if it may be.

    Rows that the mapping itself excludes do not count. Rows of other currencies count where one of those is
    more common than the shop's: the currency of the mapping is hardly right then.
    """
    rejected, considered = _considered(counts)
    if counts.rejected.get("other_currency") and not _is_outnumbered(connection, mapping.shop.currency):
        rejected -= counts.rejected["other_currency"]
    if rejected * 2 <= considered:
        return ""
    return (
        f"{rejected:,} of its {considered:,} rows would be rejected ({counts.reasons()}); nothing was"
        f" imported. Correct the mapping, or import the others with --allow-rejects{samples(connection)}"
    )


def _considered(counts: RowCounts) -> tuple[int, int]:
    """The rejected rows and all rows, without those that the mapping excludes."""
    excluded = sum(counts.rejected.get(reason, 0) for reason in _EXCLUDED)
    return sum(counts.rejected.values()) - excluded, counts.read - excluded


def _is_outnumbered(connection: duckdb.DuckDBPyConnection, currency: str) -> bool:
    """Whether another currency has more rows than the shop's."""
    row = connection.execute(
        "SELECT max(n) FILTER (code <> $1) > coalesce(max(n) FILTER (code = $1), 0) FROM"
        " (SELECT coalesce(currency, '') AS code, count(*) AS n FROM classified GROUP BY 1)",
        [currency],
    ).fetchone()
    return bool(row and row[0])
