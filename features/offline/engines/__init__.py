"""The engines of a build: DuckDB in this process, Spark on a cluster, or a warehouse; all run one Ibis."""

from core.home import Home
from events.warehouse import is_in_warehouse
from features.offline.engines.duckdb import DuckDbBuild
from features.offline.engines.engine import BuildEngine, GroupSnapshots, SnapshotFile
from features.offline.engines.warehouse import WarehouseBuild

__all__ = ["BuildEngine", "DuckDbBuild", "GroupSnapshots", "SnapshotFile", "WarehouseBuild", "engine_of"]


def engine_of(home: Home) -> BuildEngine:
    """The engine of a home's builds, unless the person chooses another.

    Raises:
        PatronError: the home's warehouse cannot be used.
    """
    return WarehouseBuild(home) if is_in_warehouse(home) else DuckDbBuild(home)
