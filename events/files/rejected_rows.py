"""The rows that the last import rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import PatronError
from core.home import Home
from core.storage.duckdb_engine import connect
from events import lake

REPORT_ROWS = 20


def report(home: Home, per_reason: int = REPORT_ROWS) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The first rejected rows of each reason, without their customers.

    Returns:
        The columns' names and the rows, by reason and position in the file.
    """
    cursor = connect().con.execute(
        "SELECT * FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY reason ORDER BY row_number)"
        " <= ? ORDER BY reason, row_number",
        [str(file(home)), per_reason],
    )
    return [column[0] for column in cursor.description], cursor.fetchall()


def file(home: Home) -> Path:
    """The Parquet file of the rejected rows.

    Raises:
        PatronError: no row was rejected.
    """
    path = lake.current(home).folder / "set_aside.parquet"
    if not path.exists():
        raise PatronError(f"no import into {home.path} set anything aside")
    return path
