"""What the last import rejected, for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.page import Visit
from console.personal.masks import mask_written
from events.files import rejected_rows

SHOWN = ("reason", "timestamp")
"""The texts of a rejected row that Patron wrote."""


def rejected(visit: Visit, per_reason: int) -> tuple[list[str], list[dict[str, Any]]]:
    """The first rejected rows of each reason, without their customers: the columns' names, and the rows.

    Visitors who see customers masked get the form of each text, such as ``99,9 xxx``, since a wrong mapping
    may take a column of people for one of products or amounts.

    Raises:
        PatronError: the rows cannot be read.
    """
    names, values = rejected_rows.report(visit.home, per_reason)
    rows = [dict(zip(names, row, strict=True)) for row in values]
    if visit.is_masked:
        rows = [{name: _masked(name, value) for name, value in row.items()} for row in rows]
    return names, rows


def warnings(visit: Visit, record: Mapping[str, Any]) -> Sequence[str]:
    """The warnings of the import; for visitors who see customers masked, without the texts of rows."""
    texts = [str(warning["text"]) for warning in record.get("warnings", ())]
    return [text.partition("\n")[0] for text in texts] if visit.is_masked else texts


def _masked(name: str, value: Any) -> Any:
    return mask_written(value) if isinstance(value, str) and name not in SHOWN else value
