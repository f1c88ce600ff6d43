"""The engines of a build: DuckDB in this process, or Spark on a cluster; both run the same Ibis."""

from features.offline.engines.duckdb import DuckDbBuild
from features.offline.engines.engine import BuildEngine, GroupSnapshots, SnapshotFile

__all__ = ["BuildEngine", "DuckDbBuild", "GroupSnapshots", "SnapshotFile"]
