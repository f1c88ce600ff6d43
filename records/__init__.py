"""What was answered: scores, and beside them decisions, their outcomes and runs."""

from __future__ import annotations

from records.batches import AnsweredTogether
from records.predictions import Answered, Logged, ScoreLog, read

__all__ = ["Answered", "AnsweredTogether", "Logged", "ScoreLog", "read"]
