"""The features that a home declares in ``features.toml``, by SQL of its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core import files
from core.errors import PatronError

FILE = "features.toml"
PREFIX = "own_"
SOURCES = ("order_lines", "refunds", "activities", "traits", "opinions")
_NAME = re.compile("[a-z][a-z0-9_]{0,54}")
_KEYS = {"from", "select", "meaning", "unit", "missing"}


@dataclass(frozen=True)
class SqlFeature:
    """A feature of a customer as an SQL aggregate.

    Attributes:
        name: of the feature; it begins with ``PREFIX``.
        source: the event table, one of ``SOURCES``.
        select: the aggregate, over what was visible of a customer at a moment.
        missing: the value of customers without rows; None is null.
    """

    name: str
    source: str
    select: str
    meaning: str
    unit: str
    missing: float | str | None = None


def declared(folder: Path) -> tuple[SqlFeature, ...]:
    """The declarations of the home in a folder; none if it has no such file.

    Raises:
        PatronError: the file cannot be read, or a declaration is invalid.
    """
    path = folder / FILE
    stamp = files.stamp(path)
    return () if stamp is None else _declared(path, stamp)


@lru_cache(maxsize=8)
def _declared(path: Path, _stamp: files.Stamp) -> tuple[SqlFeature, ...]:
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, PatronError) as error:
        raise PatronError(f"{path}: {error}") from error


def parse(content: Mapping[str, Any]) -> tuple[SqlFeature, ...]:
    """The declarations in the sections ``features.NAME``.

    Raises:
        PatronError: a declaration is invalid.
    """
    if unknown := set(content) - {"features"}:
        raise PatronError(f"unknown section {', '.join(sorted(unknown))}; features are [features.NAME]")
    sections = content.get("features", {})
    if not isinstance(sections, dict):
        raise PatronError("features are declared as [features.NAME]")
    return tuple(_feature(name, section) for name, section in sections.items())


def _feature(name: str, section: Any) -> SqlFeature:
    place = f"[features.{name}]"
    if not _NAME.fullmatch(name):
        raise PatronError(f"{place}: a name has lower-case letters, digits and underscores, a letter first")
    if not isinstance(section, dict) or not {"from", "select", "meaning"} <= set(section) <= _KEYS:
        raise PatronError(f"{place} needs from, select and meaning, and may have unit and missing")
    texts = {key: section.get(key, "number") for key in ("from", "select", "meaning", "unit")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str) or not value.strip()]:
        raise PatronError(f"{place}: {', '.join(wrong)} must be a text")
    if texts["from"] not in SOURCES:
        raise PatronError(f"{place}: from is {texts['from']!r}; use one of {', '.join(SOURCES)}")
    missing = section.get("missing")
    if isinstance(missing, bool) or not isinstance(missing, int | float | str | None):
        raise PatronError(f"{place}: missing must be a number or a text")
    feature = PREFIX + name.removeprefix(PREFIX)
    return SqlFeature(feature, texts["from"], texts["select"], texts["meaning"], texts["unit"], missing)
