"""Ids that are probably written wrongly, and columns that the mapping lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from events.files.mapping import Mapping
from events.files.readers.source import MAX_HASHED_COLUMNS
from events.files.review.finding import Finding

_EXPONENT = r"^\d([.,]\d+)?[eE]\+?\d+$"
_MAX_NAMES = 3


def ids(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> Iterator[Finding]:
    """Warnings of ids in a spreadsheet's exponent form, and that differ only in case or blanks."""
    columns = {"customer_id": "customers"}
    if mapping.orders is not None:
        columns |= {"order_id": "orders"} if mapping.orders.order else {}
        columns |= {"product_id": "products"} if mapping.orders.product else {}
    for column, meaning in columns.items():
        row = connection.execute(
            f"SELECT count(*) FROM classified WHERE regexp_matches({column}, '{_EXPONENT}')"
        ).fetchone()
        if row and row[0]:
            yield Finding(
                "ids_in_exponent_form",
                row[0],
                f"rows with ids of {meaning} such as 1.23457E+12: {row[0]:,}; a spreadsheet shortened"
                " long numbers, and different ids are now the same. Export the file with that column as text",
            )
    row = connection.execute(
        r"""
        WITH ids AS (SELECT DISTINCT customer_id FROM classified WHERE reason IS NULL),
        alike AS (SELECT 1 FROM ids GROUP BY lower(regexp_replace(customer_id, '[\s\x{00A0}]+', '', 'g'))
            HAVING count(*) > 1)
        SELECT count(*) FROM alike
        """
    ).fetchone()
    if row and row[0]:
        yield Finding(
            "ids_alike",
            row[0],
            f"groups of customers' ids that differ only in case or blanks: {row[0]:,}; each id counts as a"
            " customer of its own. Write the ids in one way if they are the same people",
        )


def unmapped(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> Iterator[Finding]:
    """A warning of rows that are equal in every mapped column and differ in another one."""
    names = names[:MAX_HASHED_COLUMNS]
    if not names:
        return
    differing = ", ".join(
        f"count(*) FILTER (d.unmapped_hashes[{i + 1}] IS DISTINCT FROM f.unmapped_hashes[{i + 1}])"
        for i in range(len(names))
    )
    row = connection.execute(
        f"SELECT count(*) FILTER (d.unmapped_hashes IS DISTINCT FROM f.unmapped_hashes), {differing}"
        " FROM classified d JOIN classified f ON d.duplicate_of = f.row_number WHERE d.reason = 'duplicate'"
    ).fetchone()
    assert row is not None
    if not row[0]:
        return
    telling = [name for name, count in sorted(zip(names, row[1:], strict=True), key=lambda p: -p[1]) if count]
    yield Finding(
        "lines_alike",
        row[0],
        f"rows that are rejected as duplicates and differ in columns that are not mapped: {row[0]:,}; the"
        f" columns are {', '.join(telling[:_MAX_NAMES])}. Map the column that tells lines apart, such as"
        f' product = "{telling[0]}", or keep all by identical_lines = "all"',
    )
