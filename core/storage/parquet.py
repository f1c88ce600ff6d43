"""Parquet files in memory."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq


def read_bytes(content: bytes) -> pa.Table:
    """The table of a Parquet file's bytes, read in the caller's thread.

    ``pyarrow.parquet.read_table`` reads in threads of Arrow, which may release Python's object after it
    returned. When the interpreter ends before they do, the process aborts or never ends
    (github.com/apache/arrow/issues/33975 and 34314).

    Raises:
        pyarrow.ArrowException, OSError: the bytes are no Parquet file, or damaged.
    """
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False) as file:
        return file.read(use_threads=False)
