"""DuckDB with Patron's settings."""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from core.storage import sql

SPILL_BEYOND = "1200MB"
MAX_MEMORY = "4GB"  # of a build; its result tables come on top


def connect(spill: Path | None = None, beyond: str = SPILL_BEYOND) -> Backend:
    """An in-memory DuckDB that uses no network and keeps time in UTC.

    Args:
        spill: a folder for data that does not fit into memory.
        beyond: the memory limit above which data is spilled, such as ``"4GB"``.
    """
    backend = ibis.duckdb.connect()
    if spill is not None:
        spill.mkdir(parents=True, exist_ok=True)
        where = sql.literal(spill / "spill")
        backend.con.execute(f"SET memory_limit = '{beyond}'; SET temp_directory = {where}")
    backend.con.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
    # As a pragma: in a notebook without ipywidgets, DuckDB refuses every setting of the progress bar.
    backend.con.execute("PRAGMA disable_progress_bar; SET preserve_insertion_order = true")
    return backend


def register_inputs(backend: Backend, expression: ir.Table) -> None:
    """Make the tables in memory that an expression reads known to DuckDB, before its SQL is executed."""
    backend._run_pre_execute_hooks(expression)  # Ibis does so itself only where it compiles the SQL as well
