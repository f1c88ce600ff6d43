"""The rows of a few customers in a table of all."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[np.int64]


def of_customers(frame: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    """The rows of some customers in a frame sorted by ``customer_key``; it costs what these rows cost.

    Args:
        keys: of the customers, ascending and each once.
    """
    sorted_keys = frame["customer_key"].to_numpy()
    starts, ends = (np.searchsorted(sorted_keys, keys, side) for side in ("left", "right"))
    counts = ends - starts
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows: pd.DataFrame = frame.iloc[np.repeat(starts, counts) + offsets]
    return rows
