"""The lake: the event tables of a shop as Parquet, bucketed by customer and sorted by customer and time."""

from core.storage.duckdb_engine import connect
from events.lake.metadata import LakeMetadata
from events.lake.reading import arrived, metadata, read
from events.lake.versions import BUCKETS, Lake, bucket_file, current, exists
from events.lake.writing import write, write_empty
from events.warehouse import backend_of

__all__ = [
    "BUCKETS",
    "Lake",
    "LakeMetadata",
    "arrived",
    "backend_of",
    "bucket_file",
    "connect",
    "current",
    "exists",
    "metadata",
    "read",
    "write",
    "write_empty",
]
