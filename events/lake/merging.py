"""Merging a file's events with those of the lake: equal events are stored once, and orders may be corrected.

A later export may repeat an order. Equal lines are the same event. If lines differ, the file's lines are a
new version of the order and replace the earlier one, unless the file may be missing lines: those of an order
at the edge of the file's span, or of an order most of whose products differ.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from core.storage import sql
from events.lake import order_book
from events.lake.staging import DUCKDB_TYPES, own_order, raw_table
from events.schema import FACTS, SCHEMAS

# Rows equal in these columns are the same event, repeated by a file that overlaps an earlier one.
_IDENTITY = {
    "order_lines": ("customer_key", "timestamp", "order_id", "product_id", "quantity", "amount"),
    "refunds": ("customer_key", "timestamp", "product_id", "quantity", "amount"),
    "traits": ("customer_key", "timestamp", "name", "value"),
    "activities": ("customer_key", "timestamp", "name", "channel", "reference", "product_id", "properties"),
}
_LINE = "hash(timestamp, product_id, quantity, amount)"
_RANK = (
    "struct_pack(a := coalesce(stated_at, placed), b := coalesce(updated, false), c := coalesce(version, 0))"
)


def merge_with(
    connection: duckdb.DuckDBPyConnection, folder: Path, number: Callable[[], int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Add a version's events to the ``keyed_`` tables; duplicates are stored once.

    If one file contains an event n times and another m times, max(n, m) are stored. If two files differ about
    an event, the earlier ``received_at`` and the category that sorts first are stored, so that the result
    does not depend on the order of imports. A repeated event of a merged customer is not duplicated for the
    customer it was merged into. Orders that the file corrects get a new version (:func:`find_corrections`).
    Expects the table ``owners``.

    Args:
        number: returns the next number of the journal, for versions of orders.

    Returns:
        The number of new events per table (for traits, the number of new statements), and the numbers of
        corrected and united orders.
    """
    new: dict[str, int] = {}
    corrected: dict[str, int] = {}
    alike = {"customer_key": "owner", "order_id": "nth_order"}
    for name, identity in _IDENTITY.items():
        schema = FACTS.get(name, SCHEMAS[name])
        versions = ["stated_at", "version", "updated"] if name == "order_lines" else []
        same = ", ".join([*(alike.get(c, c) for c in identity), *versions])
        further = [c for c in schema if c not in identity and c not in versions]
        told_by = ", ".join(c for c in further if c in ("received_at", "category", "discount"))
        picked = dict.fromkeys(further, "min({0}) AS {0}")
        picked |= {c: "arg_min({0}, is_new) AS {0}" for c in identity if c in alike}
        columns = ", ".join(picked.get(c, "{0}").format(c) for c in schema)
        nth_order = f", {own_order('e')} AS nth_order" if "order_id" in identity else ""
        owned = f"SELECT e.*, coalesce(o.owner, e.customer_key) AS owner{nth_order} FROM {{}} e"
        owned += " LEFT JOIN owners o USING (customer_key)"
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE there AS {_written(connection, folder, name)};
            CREATE OR REPLACE TEMP TABLE stated_lines AS {owned.format("there")};
            CREATE OR REPLACE TEMP TABLE new_lines AS {owned.format(f"keyed_{name}")};
            """
        )
        if name == "order_lines":
            corrected = find_corrections(connection, number)
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE keyed_{name} AS SELECT {columns} FROM (
                SELECT *, row_number() OVER (PARTITION BY is_new, {same} ORDER BY {told_by}) AS copy FROM (
                    SELECT *, false AS is_new FROM stated_lines
                    UNION ALL BY NAME SELECT *, true AS is_new FROM new_lines))
            GROUP BY {", ".join(c for c in identity if c not in alike)}, {same}, copy;
            DROP TABLE stated_lines; DROP TABLE new_lines
            """
        )
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM keyed_{name}) - (SELECT count(*) FROM there)"
        ).fetchone()
        new[name] = int(row[0]) if row else 0
    return new, corrected


def _written(connection: duckdb.DuckDBPyConnection, folder: Path, name: str) -> str:
    """The stated rows of a table in a version of the lake, as SQL with the columns of ``keyed_`` tables."""

    def source(table: str) -> str:
        files = sql.literal(folder / table / "*" / "*.parquet")
        return f"read_parquet({files}, hive_partitioning = false, union_by_name = true)"

    def part(table: str, without: str = "") -> str:
        present = {row[0] for row in connection.execute(f"DESCRIBE FROM {source(table)}").fetchall()}
        columns = (
            c if c in present else f"NULL::{DUCKDB_TYPES.get(dtype, dtype)} AS {c}"
            for c, dtype in FACTS.get(name, SCHEMAS[name]).items()
        )  # fmt: skip
        return f"SELECT {', '.join(columns)} FROM {source(table)}{without}"

    if (folder / raw_table(name)).exists():
        return part(raw_table(name))
    facts = [order_book.facts_table(n) for n in order_book.TABLES] if name in order_book.TABLES else []
    facts = [table for table in facts if (folder / table).exists()]
    if not facts:
        return part(name)
    pairs = " UNION ALL ".join(f"SELECT customer_key, order_id FROM {source(table)}" for table in facts)
    rest = part(name, f" ANTI JOIN ({pairs}) USING (customer_key, order_id)")
    own = order_book.facts_table(name)
    return rest if own not in facts else f"{part(own)} UNION ALL {rest}"


def find_corrections(connection: duckdb.DuckDBPyConnection, number: Callable[[], int]) -> dict[str, int]:
    """Make new versions of the lines in ``new_lines`` that correct orders in ``stated_lines``.

    Both tables have the columns of ``FACTS``, ``owner`` and ``nth_order``. Lines that correct nothing get
    the version of the stored order to which they belong.

    Args:
        number: returns the number of the new versions.

    Returns:
        The number of corrected orders, and of orders united although their lines differ.
    """
    _compare(connection)
    corrected, united = connection.execute(
        "SELECT count(*) FILTER (verdict = 'replace'), count(*) FILTER (verdict = 'unite') FROM verdicts"
    ).fetchall()[0]
    version = number() if corrected else 0
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE new_lines AS
        SELECT n.* REPLACE (
            CASE WHEN v.verdict = 'replace' THEN greatest(n.received_at, f.known) ELSE n.received_at END
                AS received_at,
            CASE WHEN v.verdict = 'replace' THEN greatest(f.known, v.stated.a) ELSE v.stated_at END
                AS stated_at,
            CASE WHEN v.verdict = 'replace' THEN {version} ELSE v.version END AS version,
            CASE WHEN v.verdict = 'replace' THEN false ELSE v.updated END AS updated)
        FROM new_lines n LEFT JOIN verdicts v USING (owner, nth_order),
            (SELECT max(received_at) AS known FROM new_lines) f
        """
    )
    return {name: n for name, n in (("orders_corrected", corrected), ("orders_united", united)) if n}


def _compare(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``verdicts``: the treatment of each order that both tables have, with its current stored
    version.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE numbered AS
            SELECT DISTINCT owner, nth_order FROM new_lines
            WHERE nth_order <> '-' || day  -- a day's purchases without a number are no order to correct
            INTERSECT SELECT DISTINCT owner, nth_order FROM stated_lines;
        CREATE OR REPLACE TEMP TABLE current_lines AS
            SELECT * FROM (
                SELECT *, min(timestamp) OVER (
                    PARTITION BY owner, nth_order, stated_at, version, updated) AS placed
                FROM stated_lines SEMI JOIN numbered USING (owner, nth_order))
            QUALIFY {_RANK} = max({_RANK}) OVER (PARTITION BY owner, nth_order);
        CREATE OR REPLACE TEMP TABLE verdicts AS
        WITH there AS (
            SELECT owner, nth_order, sum({_LINE}::HUGEINT) AS content, any_value(stated_at) AS stated_at,
                any_value(version) AS version, any_value(updated) AS updated, max({_RANK}) AS stated
            FROM current_lines GROUP BY ALL),
        new AS (
            SELECT owner, nth_order, sum({_LINE}::HUGEINT) AS content, min(timestamp) AS first,
                max(timestamp) AS last
            FROM new_lines SEMI JOIN numbered USING (owner, nth_order) GROUP BY ALL),
        different AS (
            SELECT owner, nth_order FROM there JOIN new USING (owner, nth_order)
            WHERE there.content <> new.content),
        lines AS (
            SELECT owner, nth_order, product_id, day, {_LINE} AS line, 1 AS here, 0 AS told FROM current_lines
            SEMI JOIN different USING (owner, nth_order)
            UNION ALL
            SELECT owner, nth_order, product_id, day, {_LINE}, 0, 1 FROM new_lines
            SEMI JOIN different USING (owner, nth_order)),
        by_line AS (
            SELECT owner, nth_order, bool_and(here <= told) AS within FROM (
                SELECT owner, nth_order, line, sum(here) AS here, sum(told) AS told FROM lines GROUP BY ALL)
            GROUP BY ALL),
        by_product AS (
            SELECT owner, nth_order, bool_or(here > told) AS fewer,
                count(*) FILTER (here > 0 AND told > 0) AS both,
                count(*) FILTER (here > 0 AND product_id IS NOT NULL) = 0
                    OR count(*) FILTER (told > 0 AND product_id IS NOT NULL) = 0 AS unnamed,
                least(count(*) FILTER (here > 0), count(*) FILTER (told > 0)) AS least
            FROM (
                SELECT owner, nth_order, product_id, sum(here) AS here, sum(told) AS told
                FROM lines GROUP BY ALL)
            GROUP BY ALL),
        by_day AS (  -- of all versions: an update is stated on a day of its own
            SELECT DISTINCT owner, nth_order, true AS same_day
            FROM stated_lines SEMI JOIN different USING (owner, nth_order)
            SEMI JOIN new_lines USING (owner, nth_order, day)),
        spans AS (
            SELECT (SELECT min(timestamp) FROM stated_lines) AS there_first,
                (SELECT max(timestamp) FROM stated_lines) AS there_last,
                (SELECT min(timestamp) FROM new_lines) AS file_first,
                (SELECT max(timestamp) FROM new_lines) AS file_last)
        SELECT there.*, CASE
            WHEN l.within IS NULL OR l.within THEN 'same'
            WHEN d.same_day IS NULL THEN 'unite'
            WHEN NOT p.fewer OR p.unnamed THEN 'replace'
            WHEN (new.first = file_first AND there_first < file_first)
                OR (new.last = file_last AND there_last >= file_last) THEN 'unite'
            WHEN 2 * p.both >= p.least THEN 'replace'
            ELSE 'unite' END AS verdict
        FROM there JOIN new USING (owner, nth_order)
        LEFT JOIN by_line l USING (owner, nth_order) LEFT JOIN by_product p USING (owner, nth_order)
        LEFT JOIN by_day d USING (owner, nth_order), spans
        """
    )
