"""The feature views of Feast's registry, copied to a JSON file, since importing Feast takes seconds.

The file contains the digest of the registry that it was made from; a copy of another registry is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from core import files
from features.online.packed import CellLayout, Field

FORMAT = 1


@dataclass(frozen=True)
class View:
    """A feature view.

    Attributes:
        fields: its features, in Feast's order.
        fresh_for: the age above which they are stale.
    """

    name: str
    fields: tuple[Field, ...]
    fresh_for: timedelta

    @cached_property
    def layout(self) -> CellLayout:
        """The layout of its cells; the order of its fields does not matter."""
        return CellLayout(self.name, tuple(sorted(self.fields, key=lambda field: field.name)))


def digest(registry: Path) -> str | None:
    """The digest of a registry's file; None if there is none."""
    try:
        return sha256(registry.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def read(registry: Path) -> dict[str, View] | None:
    """The copied views of a registry; None if it has changed since."""
    try:
        stored = json.loads(_views_file(registry).read_text())
        if (stored["format"], stored["registry"]) != (FORMAT, digest(registry)):
            return None
        return {
            view["name"]: View(
                view["name"],
                tuple(Field(**field) for field in view["fields"]),
                timedelta(seconds=view["fresh_for_s"]),
            )
            for view in stored["views"]
        }
    except (OSError, ValueError, KeyError, TypeError):  # the copy can be made again
        return None


def keep(registry: Path, of: str | None, views: Mapping[str, View]) -> None:
    """Write the views of a registry with this digest next to it, if possible."""
    as_json = [
        {
            "name": view.name,
            "fields": [asdict(field) for field in view.fields],
            "fresh_for_s": view.fresh_for.total_seconds(),
        }
        for view in views.values()
    ]
    with suppress(OSError):
        files.replace(_views_file(registry), json.dumps({"format": FORMAT, "registry": of, "views": as_json}))


def _views_file(registry: Path) -> Path:
    return registry.with_name("views.json")
