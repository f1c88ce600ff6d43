"""What was answered: scores here, decisions and their outcomes in :mod:`features.logs.decisions`."""

from __future__ import annotations

from features.logs.scores import Answered, Logged, ScoreLog, read

__all__ = ["Answered", "Logged", "ScoreLog", "read"]
