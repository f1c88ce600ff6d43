"""What was answered: scores, and beside them decisions, their outcomes and runs."""

from __future__ import annotations

from features.logs.many import AnsweredTogether
from features.logs.scores import Answered, Logged, ScoreLog, read

__all__ = ["Answered", "AnsweredTogether", "Logged", "ScoreLog", "read"]
