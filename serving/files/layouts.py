"""Layouts of files: which columns a reader wants, under which headers, and the habits of its import.

``exports.toml`` has the layouts that come with Patron; a file of the same form adds a company's own.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import PatronError
from decisions.reasons import Language

FieldName = Literal[
    "customer_id", "decision_id", "action", "action_text", "channel", "expected_value", "cost",
    "probability", "how", "reason", "value_tier", "rfm_segment", "lifecycle_stage", "churn",
    "propensity", "clv", "run_id", "decided_at", "send_at",
]  # fmt: skip
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
"""The fields of a row of recommendations."""
CodeName = Literal["channel_code", "how_code", "value_tier_code", "rfm_segment_code", "lifecycle_stage_code"]
CODES: dict[str, FieldName] = {
    "channel_code": "channel",
    "how_code": "how",
    "value_tier_code": "value_tier",
    "rfm_segment_code": "rfm_segment",
    "lifecycle_stage_code": "lifecycle_stage",
}
"""The columns with a field's code, where the field itself is written as a label."""
LAYOUTS = Path(__file__).with_name("exports.toml")
SPREADSHEET = "spreadsheet"
UNIX_MS = "unix_ms"
"""The ``time`` of a layout whose moments are milliseconds since 1970."""
SHEET_ROWS = 1_048_575
"""The rows below the header of an Excel sheet."""


class ExportLayout(BaseModel):
    """How one reader wants its file; the settings are explained in ``exports.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[FieldName | CodeName, str | dict[Language, str]] = Field(min_length=1)
    delimiter: Literal[",", ";", "\t", "|"] = ","
    bom: bool = False
    time: str = Field("%Y-%m-%dT%H:%M:%SZ", min_length=1)
    zone: Literal["utc", "shop"] = "utc"
    ids: Literal["plain", "spreadsheet"] = "plain"
    empty: str = ""
    without: str = ""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    max_mb: Annotated[float, Field(gt=0)] | None = None

    def headers(self, language: Language) -> list[str]:
        """The header of each column."""
        return [h if isinstance(h, str) else h.get(language, name) for name, h in self.columns.items()]


def layouts(path: Path = LAYOUTS) -> dict[str, ExportLayout]:
    """The layouts of a TOML file by name.

    Raises:
        PatronError: there is no such file, or it is not of the form of ``exports.toml``.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return TypeAdapter(dict[str, ExportLayout]).validate_python(read)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PatronError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise PatronError(f"{path}: this file of layouts cannot be read: {error}") from error


def find_layout(target: str | None, own: Path | None = None) -> ExportLayout:
    """The layout of a name.

    Args:
        target: None for a spreadsheet's; with ``own``, for its only layout.
        own: a file of layouts of the user's, in place of the one that comes with Patron.

    Raises:
        PatronError: there is none, or the file of layouts is wrong.
    """
    known = layouts(own or LAYOUTS)
    if own is not None and target is None:
        if len(known) != 1:
            raise PatronError(f"{own} has the layouts {', '.join(known) or 'none'}; name one of them")
        return next(iter(known.values()))
    name = target or SPREADSHEET
    if name not in known:
        raise PatronError(f"there is no layout {name!r} for a file; there are {', '.join(known)}")
    return known[name]
