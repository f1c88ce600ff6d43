"""What Patron did: predictions, decisions, their outcomes, and jobs."""

from __future__ import annotations

from records.batches import AnsweredTogether
from records.history import Logged, read
from records.predictions import Answered, ScoreLog

__all__ = ["Answered", "AnsweredTogether", "Logged", "ScoreLog", "read"]
