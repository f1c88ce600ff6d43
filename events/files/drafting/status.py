"""SampledColumns that tell kinds of rows apart: sales, cancelled sales, refunded sales, returns."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from core.storage import sql
from events.files.drafting.profiles import SAMPLE

MAX_VALUES = 50
_CANCELLED = re.compile(
    r"cancel|storn|void|annul|declin|fail|expired|abgebrochen|anulad|取消|关闭|作废|拒绝", re.IGNORECASE
)
_GIVEN_BACK = re.compile(
    r"refund|return|retour|retoure|credit|gutschrift|erstatt|rembours|devol|reembol|chargeback|退",
    re.IGNORECASE,
)
_PARTLY = re.compile(r"part|teil|部分", re.IGNORECASE)
_STATUS = re.compile(r"status|state|estado|statut|状态", re.IGNORECASE)


def settings(connection: duckdb.DuckDBPyConnection, column: str) -> list[tuple[str, list[str], str]]:
    """The settings that a column of kinds suggests: name, values and doubt.

    In a column of states a refunded row is a sale and its refund; in one of kinds it takes something back.
    """
    values = _values(connection, column)
    cancelled = [value for value in values if _CANCELLED.search(value)]
    back = [v for v in values if _GIVEN_BACK.search(v) and v not in cancelled and not _PARTLY.search(v)]
    suggested = []
    if cancelled:
        suggested.append(("cancelled", cancelled, "do these rows count as nothing?"))
    if back and _STATUS.search(column):
        suggested.append(("refunded", back, "is each of these rows a sale and its refund?"))
    elif back:
        suggested.append(("returns", back, "do these take something back?"))
    return suggested


def _values(connection: duckdb.DuckDBPyConnection, column: str) -> Sequence[str]:
    rows = connection.execute(
        f"SELECT DISTINCT {sql.name(column)} FROM {SAMPLE} WHERE {sql.name(column)} <> '' ORDER BY 1"
        f" LIMIT {MAX_VALUES}"
    ).fetchall()
    return [str(row[0]) for row in rows]
