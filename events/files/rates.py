"""Daily rates of currencies: the table ``rates`` of the file that a mapping names."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers.opening import open_source
from events.files.sections import RatesSection

_CODE = re.compile("[A-Z]{3}")
_NO_RATE = ("", "N/A", "NA", "NAN", "NULL", "-", ".", "..")
"""What stands in a currency's column on a day without a rate, in capital letters."""


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
    with open_source(duckdb.connect(), str(path), FileSection()) as source:
        cells = _cells(source.names, rates, path)
        day = f"trim({sql.name(rates.day)}::VARCHAR)"
        formats = ", ".join(map(sql.literal, rates.day_formats))
        read_day = f"try_strptime({day}, [{formats}])::DATE" if formats else f"TRY_CAST({day} AS DATE)"
        table = source.relation.project(
            f"{read_day} - DATE '1970-01-01' AS rate_day, {cells}"
        ).to_arrow_table()
    connection.register("read_rates", table)
    text = "replace(text, ',', '.')" if rates.decimal == "," else "text"
    number = f"TRY_CAST({text} AS DOUBLE)"
    connection.execute(
        "CREATE TABLE rates AS"
        f" SELECT DISTINCT code, rate_day, {f'1 / {number}' if rates.inverse else number} AS rate"
        " FROM read_rates WHERE text IS NOT NULL OR NOT wide"
    )
    connection.unregister("read_rates")
    _check(connection, path)


def _cells(names: tuple[str, ...], rates: RatesSection, path: Path) -> str:
    """The currencies and the texts of their rates, and whether each currency has a column, as SQL."""
    long = (rates.currency or "currency", rates.rate or "rate")
    codes = [name for name in names if _CODE.fullmatch(name.strip()) and name != rates.day]
    wide = rates.currency is None and rates.rate is None and not set(long) & set(names) and codes
    if missing := [name for name in (rates.day, *(() if wide else long)) if name not in names]:
        raise PatronError(
            f"{path}: there is no column {', '.join(missing)}, and it has {', '.join(names)};"
            " see [rates] of the mapping"
        )
    if not wide:
        code, rate = (f"trim({sql.name(column)}::VARCHAR)" for column in long)
        return f"upper({code}) AS code, {rate} AS text, false AS wide"
    cells = (f"trim({sql.name(name)}::VARCHAR)" for name in codes)
    texts = ", ".join(f"CASE WHEN upper({cell}) NOT IN {_NO_RATE} THEN {cell} END" for cell in cells)
    listed = ", ".join(sql.literal(name.strip()) for name in codes)
    return f"unnest([{listed}]) AS code, unnest([{texts}]) AS text, true AS wide"


def _check(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    count = (
        "SELECT count(*) FROM rates WHERE code IS NULL OR rate_day IS NULL OR NOT coalesce(rate > 0, false)"
    )
    bad = connection.execute(f"{count} OR NOT isfinite(rate)").fetchone()
    if bad and bad[0]:
        raise PatronError(
            f"{path}: {bad[0]:,} of its rates have no day such as 2024-03-01, no currency, or are no number"
            " above 0; see day_formats and decimal of [rates]; nothing was imported"
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
