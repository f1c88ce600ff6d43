"""Daily rates of currencies: the table ``rates`` of the file that a mapping names."""

from __future__ import annotations

from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers.opening import open_source
from events.files.sections import RatesSection


def read_rates(connection: duckdb.DuckDBPyConnection, rates: RatesSection, folder: Path) -> None:
    """Make ``rates``: ``code`` (ISO 4217), ``rate_day`` (days since 1970-01-01) and ``rate``.

    A rate is what one unit of the currency is worth in the shop's currency.

    Args:
        folder: the mapping's, to which the file's path is relative.

    Raises:
        PatronError: the file cannot be read, has a rate that is none, or two rates of a day.
    """
    path = rates_path(rates, folder)
    if not path.is_file():
        raise PatronError(f"{path}: there is no such file of rates; see [rates] of the mapping")
    columns = (rates.day, rates.currency, rates.rate)
    with open_source(duckdb.connect(), str(path), FileSection()) as source:
        if missing := [name for name in columns if name not in source.names]:
            raise PatronError(f"{path}: there is no column {', '.join(missing)}; see [rates] of the mapping")
        number = f"TRY_CAST(trim({sql.name(rates.rate)}::VARCHAR) AS DOUBLE)"
        table = source.relation.project(
            f"upper(trim({sql.name(rates.currency)}::VARCHAR)) AS code,"
            f" TRY_CAST({sql.name(rates.day)}::VARCHAR AS DATE) - DATE '1970-01-01' AS rate_day,"
            f" {f'1 / {number}' if rates.inverse else number} AS rate"
        ).to_arrow_table()
    connection.register("read_rates", table)
    connection.execute("CREATE TABLE rates AS SELECT DISTINCT * FROM read_rates")
    connection.unregister("read_rates")
    count = (
        "SELECT count(*) FROM rates WHERE code IS NULL OR rate_day IS NULL OR NOT coalesce(rate > 0, false)"
    )
    bad = connection.execute(f"{count} OR NOT isfinite(rate)").fetchone()
    if bad and bad[0]:
        raise PatronError(
            f"{path}: {bad[0]:,} of its rows have no day such as 2024-03-01, no currency or no rate above 0;"
            " nothing was imported"
        )
    twice = connection.execute(
        "SELECT code, (DATE '1970-01-01' + rate_day::INT)::VARCHAR FROM rates GROUP BY ALL"
        " HAVING count(DISTINCT rate) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if twice:
        raise PatronError(f"{path}: {twice[0]} has two rates on {twice[1]}; nothing was imported")


def rates_path(rates: RatesSection, folder: Path) -> Path:
    """The file of rates; a path in the mapping is relative to the mapping's folder."""
    return folder / rates.file
