"""The columns of predictions that are stored as tables: in rows of the log and in parts of score jobs."""

from __future__ import annotations

KEY, AS_OF = "customer_key", "as_of"
BOUNDS = ("low", "high")  # of money, where the model has intervals
