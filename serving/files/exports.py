"""Rows of recommendations → files that people, spreadsheets and CRMs can open, in constant memory.

``exports.toml`` says how each reader wants its CSV; ``spreadsheet.py`` writes the cells.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import PatronError
from decisions.reasons import Language
from features.offline.segment_overview import KINDS
from serving.files.spreadsheet import exact_id, inert, number, quoted

Kind = Literal["ndjson", "csv"]
FieldName = Literal[
    "customer_id", "decision_id", "action", "action_text", "channel", "expected_value", "cost",
    "probability", "how", "reason", "value_tier", "rfm_segment", "lifecycle_stage", "churn",
    "propensity", "clv", "run_id", "decided_at",
]  # fmt: skip
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
IDS = {"customer_id", "decision_id", "run_id"}
HOW: Mapping[Language, Mapping[str, str]] = {
    "en": {"best": "best", "explored": "explored", "control": "control group"},
    "zh": {"best": "最优", "explored": "探索", "control": "对照组"},
}
LAYOUTS = Path(__file__).with_name("exports.toml")
SPREADSHEET = "spreadsheet"
_ROWS_PER_CHUNK = 200
# Ends of lines to some readers of text, though not to JSON.
_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}


class ExportLayout(BaseModel):
    """How one reader wants its CSV; the settings are explained in ``exports.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[FieldName, str | dict[Language, str]] = Field(min_length=1)
    delimiter: Literal[",", ";", "\t", "|"] = ","
    bom: bool = False
    time: str = "%Y-%m-%dT%H:%M:%SZ"
    ids: Literal["plain", "spreadsheet"] = "plain"


def layouts(path: Path = LAYOUTS) -> dict[str, ExportLayout]:
    """The layouts of a TOML file by name.

    Raises:
        PatronError: there is no such file, or it is not of the form of ``exports.toml``.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, ExportLayout]).validate_python(read)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PatronError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise PatronError(f"{path}: this file of layouts cannot be read: {error}") from error


def stream(
    rows: Iterable[Mapping[str, Any]],
    kind: Kind,
    language: Language,
    target: str | None = None,
    *,
    own: Path | None = None,
) -> tuple[str, Iterator[bytes]]:
    """A file of rows, bit by bit.

    Args:
        rows: each with all of ``FIELDS``; any may be None, ``decided_at`` is an aware datetime.
        kind: ``ndjson`` is for programs: every field and code as it is. ``csv`` is laid out for a reader.
        language: of headers in a CSV, of how a choice was made and of what segments are called.
        target: the CRM that a CSV is for; a spreadsheet for None.
        own: a file of layouts of the user's, in place of the one that comes with Patron.

    Returns:
        The media type, and the chunks.

    Raises:
        PatronError: there is no such target, or the file of layouts is wrong; before any chunk.
    """
    if kind == "ndjson":
        if target is not None:
            raise PatronError(f"{target} imports CSV, not NDJSON; ask for csv, or name no target")
        return "application/x-ndjson", _chunks(_lines_of_json(rows))
    return "text/csv; charset=utf-8", _chunks(_lines_of_csv(rows, layout(target, own), language))


def layout(target: str | None, own: Path | None = None) -> ExportLayout:
    """The layout of a CSV for a program; a spreadsheet's for None.

    Raises:
        PatronError: there is none, or the file of layouts is wrong.
    """
    known, name = layouts(own or LAYOUTS), target or SPREADSHEET
    if name not in known:
        raise PatronError(f"there is no layout {name!r} for a file; there are {', '.join(known)}")
    return known[name]


def _words(language: Language) -> dict[str, Mapping[str, str]]:
    """What the codes of a field are called."""
    return {"how": HOW[language]} | {
        kind: {name: s.chinese if language == "zh" else s.english for name, s in segments.items()}
        for kind, segments in KINDS.items()
    }


def _chunks(lines: Iterator[str]) -> Iterator[bytes]:
    # A lone surrogate, which JSON can bring in, has no UTF-8; it must not break off a file half-way.
    while chunk := "".join(islice(lines, _ROWS_PER_CHUNK)):
        yield chunk.encode("utf-8", "replace")


def _lines_of_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        text = json.dumps({f: _jsonable(row[f]) for f in FIELDS}, ensure_ascii=False, allow_nan=False)
        yield text.translate(_LINE_ENDS) + "\n"


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal):
        return float(value) if number(value) else None
    return value if value is None else str(value)


def _lines_of_csv(
    rows: Iterable[Mapping[str, Any]], layout: ExportLayout, language: Language
) -> Iterator[str]:
    words = _words(language)
    headers = [h if isinstance(h, str) else h.get(language, f) for f, h in layout.columns.items()]
    cells = ([_cell(f, row[f], layout, words.get(f, {})) for f in layout.columns] for row in rows)
    mark = "\ufeff" if layout.bom else ""
    for line in chain([[quoted(inert(h)) for h in headers]], cells):
        yield mark + layout.delimiter.join(line) + "\r\n"
        mark = ""


def _cell(field: str, value: Any, layout: ExportLayout, words: Mapping[str, str]) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        if layout.time == "unix_ms":
            return str(int(moment.timestamp() * 1000))
        return quoted(moment.strftime(layout.time))
    if isinstance(value, Real | Decimal):
        return number(value)
    if field in IDS:
        return quoted(exact_id(str(value)) if layout.ids == "spreadsheet" else str(value))
    return quoted(inert(words.get(value, str(value))))
