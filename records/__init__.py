"""What Patron did: predictions, decisions, their outcomes, and jobs."""

from __future__ import annotations

from records.batches import PredictionBatch
from records.history import Logged, read
from records.predictions import Prediction, ScoreLog

__all__ = ["Logged", "Prediction", "PredictionBatch", "ScoreLog", "read"]
