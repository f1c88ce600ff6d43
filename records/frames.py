"""Single predictions, batches and parts of score jobs merged into one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from records.batches import AS_OF, KEY, ORDER_PARTS
from records.job_parts import JobPart

_ORDER = ("_after", "_order")
MAX_FRAMES = 200  # in memory before superseded rows are dropped


class Latest:
    """The last prediction of each customer and day, from frames added in any order.

    Args:
        answers: the initial number of predictions.
    """

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self._frames: list[pd.DataFrame] = []

    def add(self, frame: pd.DataFrame, after: Sequence[int] | int, order: int = 0, answers: int = 0) -> None:
        """Add predictions.

        Args:
            frame: ``day``, ``customer_key``, features, scores and versions.
            after: the log's row number of each, or of the last row that was committed before all of them.
            order: among predictions with the same number, the higher order is later.
            answers: the number of these predictions.
        """
        if len(frame):
            self._frames.append(frame.assign(_after=after, _order=order))
        self.answers += answers
        if len(self._frames) >= MAX_FRAMES:
            self._frames = [self._last()]

    def add_part(self, part: JobPart) -> None:
        """Add a part of a score job; customers without features got no prediction."""
        table = pq.read_table(part.path)
        table = table.filter(pc.is_valid(table[AS_OF]))
        fields = ("percentile", "reason", *ORDER_PARTS)
        unlogged = [f"{name}.{field}" for name in part.models for field in fields]
        dropped = [name for name in unlogged if name in table.column_names]
        frame: pd.DataFrame = table.drop_columns([AS_OF, *dropped]).to_pandas()
        versions = {f"{name}.version": version for name, version in part.models.items()}
        self.add(frame.assign(day=part.day, **versions), part.after, part.order, len(frame))

    def vectors(self) -> pd.DataFrame:
        """One row per customer and day."""
        return self._last().drop(columns=[*_ORDER], errors="ignore").reset_index(drop=True)

    def _last(self) -> pd.DataFrame:
        if not self._frames:
            return pd.DataFrame()
        names = list(dict.fromkeys(str(name) for frame in self._frames for name in frame))
        stacked = pd.DataFrame({name: _stacked(self._frames, name) for name in names})
        ordered = stacked.sort_values([*_ORDER], kind="stable")
        return ordered.drop_duplicates(["day", KEY], keep="last")


def _stacked(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    """A column of all frames, concatenated; missing where a frame lacks it."""
    columns = [frame[name].to_numpy() if name in frame else None for frame in frames]
    kinds = {column.dtype for column in columns if column is not None}
    lacking = any(column is None for column in columns)
    numbers = all(np.issubdtype(kind, np.number) for kind in kinds)
    kind = object if not numbers and (len(kinds) > 1 or lacking) else None  # a truth value is no number
    missing = np.nan if kind is None else None
    filled = [
        np.full(len(frame), missing) if column is None else column
        for frame, column in zip(frames, columns, strict=True)
    ]
    return np.concatenate([column.astype(kind or column.dtype) for column in filled])
