"""Answers that were logged one by one and those of score jobs, as one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.logs.jobs import AS_OF, KEY
from features.logs.parts import Part

_ORDER = ("_after", "_order")


def last_of_each(
    singly: pd.DataFrame, numbers: Sequence[int], parts: Sequence[Part]
) -> tuple[pd.DataFrame, int]:
    """The last answer of each customer and day.

    Args:
        singly: rows with ``day``, ``customer_key``, features, scores and versions.
        numbers: of these rows. A row came after a part where its number is above the part's ``after``.

    Returns:
        The rows, and how many answers there were in the parts.
    """
    frames = [_frame(part) for part in parts]
    answers = sum(len(frame) for frame in frames)
    if len(singly):
        frames.append(singly.assign(_after=numbers, _order=0))
    names = list(dict.fromkeys(str(name) for frame in frames for name in frame))
    stacked = pd.DataFrame({name: _stacked(frames, name) for name in names})
    ordered = stacked.sort_values([*_ORDER], kind="stable")
    last = ordered.drop_duplicates(["day", KEY], keep="last")
    return last.drop(columns=[*_ORDER]).reset_index(drop=True), answers


def _frame(part: Part) -> pd.DataFrame:
    """The vectors of a part; who had no features was not answered."""
    table = pq.read_table(part.path)
    table = table.filter(pc.is_valid(table[AS_OF]))
    told = [f"{name}.{what}" for name in part.models for what in ("percentile", "reason")]
    frame: pd.DataFrame = table.drop_columns([AS_OF, *told]).to_pandas()
    versions = {f"{name}.version": version for name, version in part.models.items()}
    return frame.assign(day=part.day, **versions, _after=part.after, _order=part.order)


def _stacked(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    """A column of all frames, one below the other; missing where a frame does not have it."""
    held = [frame[name].to_numpy() if name in frame else None for frame in frames]
    kinds = {column.dtype for column in held if column is not None}
    lacking = any(column is None for column in held)
    numbers = all(np.issubdtype(kind, np.number) for kind in kinds)
    kind = object if not numbers and (len(kinds) > 1 or lacking) else None  # a truth value is no number
    missing = np.nan if kind is None else None
    filled = [
        np.full(len(frame), missing) if column is None else column
        for frame, column in zip(frames, held, strict=True)
    ]
    return np.concatenate([column.astype(kind or column.dtype) for column in filled])
