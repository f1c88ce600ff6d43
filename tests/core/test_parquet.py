"""Parquet in memory: a round trip, without threads that outlive the call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.storage import parquet

ROOT = Path(__file__).parents[2]
THREADS = Path("/proc/self/task")
TABLE = pa.table({"n": [1, None, 3], "word": ["a", "b", "a"], "at": pa.array([0, 1, 2], pa.timestamp("us"))})

# Arrow's threads release Python's objects after read_table returned, which aborts an interpreter that ends.
NO_THREAD_STARTS = """
import os, sys
from core.storage import parquet
content = open(sys.argv[1], "rb").read()
before = set(os.listdir("/proc/self/task"))
assert parquet.read_bytes(content).num_rows == 3
assert set(os.listdir("/proc/self/task")) == before
"""


@pytest.fixture
def content() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, row_group_size=1, compression="zstd")
    return sink.getvalue().to_pybytes()


def test_the_bytes_of_a_file_are_its_table(content: bytes) -> None:
    assert parquet.read_bytes(content).equals(TABLE)


@pytest.mark.parametrize("damaged", [b"", b"PAR1", b"not a table"])
def test_bytes_of_no_table_are_an_error(damaged: bytes) -> None:
    with pytest.raises((pa.ArrowException, OSError)):
        parquet.read_bytes(damaged)


@pytest.mark.skipif(not THREADS.is_dir(), reason="the system does not list a process' threads")
def test_no_thread_is_started(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(content)
    ran = subprocess.run(
        [sys.executable, "-c", NO_THREAD_STARTS, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
