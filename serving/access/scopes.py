"""The scopes of API keys, one per kind of use."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Scope(StrEnum):
    """What a key permits."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """The scope's name, with its meaning in a line."""
        scope = str.__new__(cls, value)
        scope._value_ = value
        scope.meaning = meaning
        return scope

    SCORES = "scores", "ask for customers' scores"
    CUSTOMERS = "customers", "read customers: portraits, timelines, lists"
    SEGMENTS = "segments", "read the segments"
    DECISIONS = "decisions", "have next best actions decided, one by one or in runs"
    OUTCOMES = "outcomes", "report what came of a decision"
    EVENTS = "events", "send events"
    OPERATIONS = "operations", "read models, metrics and monitoring"
    ALL = "all", "everything"
