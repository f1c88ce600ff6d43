"""The base of every section of ``actions.toml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class TomlSection(BaseModel):
    """A section that refuses unknown settings and converts no types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
