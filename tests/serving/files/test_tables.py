"""Files of tables."""

from __future__ import annotations

from typing import get_args

import pyarrow as pa
import pytest

from serving.files import tables

ROWS = pa.table({"customer_id": ["u1"], "clv": [1.5]})


@pytest.mark.parametrize("kind", sorted({*get_args(tables.Kind)} - {"parquet", "xlsx"}))
def test_a_table_without_rows_adds_no_line(kind: tables.Kind) -> None:
    file = b"".join(tables.encoded(iter([ROWS]), kind))
    assert file.endswith(b"\n")
    assert b"".join(tables.encoded(iter([ROWS, ROWS.slice(1)]), kind)) == file
