"""The files of a table of the lake: one per bucket, sorted by customer and time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from core.storage import sql
from events.lake.versions import BUCKETS, bucket_file, write_bucket, write_empty_buckets

MAX_UNSPLIT_ROWS = 50_000  # each of the buckets reads them all


def write(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    """Write a ``keyed_`` table of a connection.

    Args:
        name: the table's name without ``keyed_``.
        folder: the folder of a version of the lake.
    """
    table = f"keyed_{name}"
    counts: dict[int, int] = dict(
        connection.execute(f"SELECT customer_key % {BUCKETS}, count(*) FROM {table} GROUP BY 1").fetchall()
    )
    with _rows_by_bucket(connection, table, folder / f"{name}.split", sum(counts.values())) as rows_of:
        for bucket in sorted(counts):
            write_bucket(connection, rows_of(bucket), bucket_file(folder, name, bucket))
    empty = [bucket_file(folder, name, bucket) for bucket in range(BUCKETS) if bucket not in counts]
    write_empty_buckets(connection, f"(FROM {table} LIMIT 0)", empty)


@contextmanager
def _rows_by_bucket(
    connection: duckdb.DuckDBPyConnection, table: str, split: Path, rows: int
) -> Iterator[Callable[[int], str]]:
    """A function of a bucket's number to the bucket's rows of a table, as SQL that can follow ``FROM``.

    Args:
        split: a folder into which a table of many ``rows`` is split in one pass, since it may be spilled to
            disk; it is removed.
    """
    if rows <= MAX_UNSPLIT_ROWS:
        yield lambda bucket: f"(FROM {table} WHERE customer_key % {BUCKETS} = {bucket})"
        return
    connection.execute(
        f"COPY (SELECT *, customer_key % {BUCKETS} AS bucket FROM {table})"
        f" TO {sql.literal(split)} (FORMAT parquet, PARTITION_BY (bucket))"
    )
    files = split / "bucket={}" / "*.parquet"
    part = f"read_parquet({sql.literal(files)}, hive_partitioning = false)"
    yield part.format
    shutil.rmtree(split, ignore_errors=True)
