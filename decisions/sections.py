"""The base of every section of ``actions.toml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict


class TomlSection(BaseModel):
    """A section that refuses unknown settings and converts no types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def is_empty(value: Any) -> bool:
    """Whether a setting is left out.

    ``exclude_if`` of every setting that was added later: a file without it keeps the digest that it had
    before, so standing decisions remain valid after an upgrade.
    """
    return value is None or value in ((), {}, [])


def is_one(value: Any) -> bool:
    """The same for a factor that is 1 by default."""
    return bool(value == 1)


def equals(default: float | str) -> Callable[[Any], bool]:
    """The same for a setting with that default."""
    return lambda value: bool(value == default)
