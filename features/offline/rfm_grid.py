"""The RFM grid: the cell of each customer, by recency and worth, and the customers of each cell.

Cells are computed from the stored features that make the RFM segment, by the definition of the segment. So
the number of a cell is that of the customers whom ``rfm_cell:RECENCY-WORTH`` selects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from core.storage import duckdb_engine
from features.groups.segment_rules import GRID
from features.groups.segments import grid_place, rfm_segment

RFM_CELL = "rfm_cell"
"""What filters of customers call the cell, as if it were a feature."""
INPUTS = rfm_segment.inputs
"""The features of which a cell is made."""


def cell_name(recency: int, worth: int) -> str:
    """The name of a cell, such as ``4-2`` for recency 4 and worth 2."""
    return f"{recency}-{worth}"


def rfm_cells(features: Mapping[str, pa.Array]) -> pa.Array:
    """The name of each customer's cell, in their order; null without an order.

    Args:
        features: ``INPUTS`` by name, a value per customer.
    """
    customers = ibis.memtable(pa.table({name: features[name] for name in INPUTS}))
    recency, worth = grid_place(*(customers[name] for name in INPUTS))
    cell = recency.cast("int64").cast("string") + "-" + worth.cast("int64").cast("string")
    backend = duckdb_engine.connect()
    try:
        return backend.to_pyarrow(customers.select(cell=cell))["cell"].combine_chunks()
    finally:
        backend.disconnect()


def rfm_grid(customers: pd.DataFrame) -> list[dict[str, Any]]:
    """The cells that have customers, by recency and worth.

    Args:
        customers: a row per customer with ``net_spend_365d`` and ``INPUTS``.
    """
    cells = rfm_cells({name: pa.array(customers[name], from_pandas=True) for name in INPUTS})
    spend = customers["net_spend_365d"].groupby(cells.to_pandas().to_numpy())
    sizes, totals = spend.size().to_dict(), spend.sum().to_dict()
    return [
        {
            "recency": recency,
            "worth": worth,
            "segment": segment,
            "customers": sizes[name],
            "net_spend_365d": round(totals[name], 2),
        }
        for recency, row in enumerate(GRID, 1)
        for worth, segment in enumerate(row, 1)
        if (name := cell_name(recency, worth)) in sizes
    ]
