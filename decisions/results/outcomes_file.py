"""Outcomes of decisions from a file: one row each, with ``decision_id`` and ``outcome``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.calendar import moment
from core.home import Home
from events.files.table import open_table
from records.decisions import DecisionLog
from records.outcomes import KINDS, Outcome, record_all

NEEDED = ("decision_id", "outcome")
OPTIONAL = {"value": "float64", "at": "moment"}


def import_outcomes(home: Home, place: str) -> dict[str, Any]:
    """Record the outcomes of a file of any format that :func:`open_table` reads.

    Columns: ``decision_id``; ``outcome``, one of ``KINDS``; ``value`` of a conversion, in currency; ``at``,
    when it happened (UTC if it has no offset; else now). Other columns are ignored.

    Returns:
        ``rows``, ``recorded``, ``repeated`` (recorded before) and ``rejected`` by reason; ``rows`` is the sum
        of the others.

    Raises:
        PatronError: the file cannot be read or lacks a column; nothing was recorded.
    """
    table, now = open_table(place), home.shop().now()
    table.need(NEEDED)
    types = dict.fromkeys(NEEDED, "string") | {n: t for n, t in OPTIONAL.items() if n in table.names}
    columns = {name: values.to_pylist() for name, values in table.typed(types).items()}
    reported, counts = [], Counter[str]()
    for number in range(table.rows):
        outcome = _outcome({name: values[number] for name, values in columns.items()}, now)
        if isinstance(outcome, str):
            counts[outcome] += 1
        else:
            reported.append(outcome)
    with DecisionLog(home) as log:
        counts.update(record_all(log, reported))
    recorded, repeated = counts.pop("recorded", 0), counts.pop("repeated", 0)
    rejected = dict(sorted(counts.items()))
    return {"rows": table.rows, "recorded": recorded, "repeated": repeated, "rejected": rejected}


def _outcome(row: Mapping[str, Any], now: datetime) -> Outcome | str:
    """The outcome in a row, or why there is none."""
    decision_id, kind, value = row["decision_id"], row["outcome"], row.get("value")
    if not decision_id:
        return "no_decision_id"
    if kind not in KINDS:
        return "unknown_outcome"
    if value is not None and not math.isfinite(value):
        value = None
    if (value is not None) != (kind == "converted"):
        return "value_missing" if kind == "converted" else "value_of_no_conversion"
    if value is not None and not 0 <= value <= 1e12:
        return "value_out_of_range"
    at = now if row.get("at") is None else moment(round(row["at"] * 1e6))
    if at > now:
        return "in_the_future"
    return Outcome(decision_id, kind, value, at)
