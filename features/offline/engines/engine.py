"""What a build needs of an engine, besides Ibis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import ibis.expr.types as ir

from core.errors import PatronError
from events.schema import Events
from features.offline.engines.executors import Executors
from features.text.opinions import TextReader

SHARING_NEEDED = "the home must have one path on every machine, or PATRON_SPARK_STORAGE must be set"
"""What executors need, for messages."""
CUSTOMERS_PER_ROW_GROUP = 100_000  # a reader of some customers reads no others than these


@dataclass(frozen=True)
class SnapshotFile:
    """The file of a group's snapshot as of a moment.

    Attributes:
        customers: the number of its rows.
    """

    as_of: datetime
    path: Path
    customers: int

    def check(self, rows: int) -> None:
        """Raise an error unless all rows were computed."""
        if rows != self.customers:
            raise PatronError(
                f"{rows:,} of {self.customers:,} rows of {self.path} arrived; with a cluster,"
                f" {SHARING_NEEDED}. Run `patron build` again"
            )


@dataclass(frozen=True)
class GroupSnapshots:
    """The features of a group at some moments.

    Attributes:
        values: a row per customer and moment.
        files: of each moment.
    """

    values: ir.Table
    files: Sequence[SnapshotFile]


class BuildEngine(Protocol):
    """An engine of a build.

    Attributes:
        backend: Ibis' backend.
        max_orders_per_query: orders times moments in one query.
        shared_inputs: the event tables that are read once for all groups.
    """

    backend: Any
    max_orders_per_query: int
    shared_inputs: Sequence[str]

    @property
    def executors(self) -> Executors | None:
        """The executors of Spark; None if this process computes."""

    @property
    def local(self) -> BuildEngine:
        """The engine that reads snapshots where they are: itself, but for a warehouse DuckDB."""

    def fetched(self, rows: ir.Table) -> ir.Table:
        """Rows that this engine computes, for an expression of ``local``."""

    def with_opinions(self, events: Events, reader: TextReader) -> Events:
        """The event tables with the opinions in the texts of activities."""

    def write(self, tables: Iterable[GroupSnapshots]) -> None:
        """Write each table into a file for each moment, each in one step, by ``customer_key``.

        Raises:
            PatronError: rows are missing, or a file cannot be written.
        """


def stamped(values: ir.Table) -> ir.Table:
    """Values with ``as_of`` and ``created_at`` as Feast reads them."""
    moment = values.as_of.cast("timestamp('UTC', 6)")
    # Feast may filter by the time of creation, so a backfill is stamped with its as_of.
    return values.mutate(as_of=moment, created_at=moment)
