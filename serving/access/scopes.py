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

    SCORES = "scores", "request customers' scores"
    CUSTOMERS = "customers", "read customers: portraits, timelines, lists"
    SEGMENTS = "segments", "read the segments, key figures, cohorts and results"
    DECISIONS = "decisions", "request next best actions, for one customer or in runs"
    ACTIONS = "actions", "change the actions"
    OUTCOMES = "outcomes", "report outcomes of decisions"
    EVENTS = "events", "send events"
    OPERATIONS = "operations", "read models, metrics and monitoring"
    ALL = "all", "everything"
