"""A text in both languages."""

from __future__ import annotations

from pydantic import BaseModel


class Words(BaseModel):
    """A text in English and Chinese."""

    en: str
    zh: str
