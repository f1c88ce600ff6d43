"""The events in which customers say whether they may be contacted, and where a warehouse's are stored.

A home whose lake is a warehouse has them in ``snapshots/<generation>/consents.parquet``, as the last build
found them, so that a decision reads single customers without the warehouse. Rows of traits have no ``kind``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq
from ibis.backends.sql import SQLBackend

from core.errors import NothingThere
from core.files import replacing
from core.home import Home
from core.storage.sql import literal
from events import lake
from events.schema import Events
from events.taxonomy import OWN_CONTACTS

KINDS = {
    "subscribed": "subscribed", "unsubscribed": "unsubscribed", "marked_as_spam": "spam",
    "bounced": "bounced", "opened": "reached", "clicked": "reached",
}  # fmt: skip
"""The statement of each kind of activity."""
UNDONE = OWN_CONTACTS[-1]  # says nothing about the channel
NEWSLETTER, PREFIX = "newsletter", "consent."
"""The trait about email, and the beginning of the names of the traits about other channels."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "activities": ("customer_key", "timestamp", "received_at", "kind", "name", "channel"),
    "traits": ("customer_key", "timestamp", "received_at", "name", "value"),
}
_STORED = tuple(dict.fromkeys((*COLUMNS["activities"], *COLUMNS["traits"])))


def write(home: Home, backend: SQLBackend) -> None:
    """Store the rows of a warehouse, in one step.

    Raises:
        PatronError: the warehouse cannot be read.
    """
    rows, path = _rows(lake.read(home, backend)), _file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft, pq.ParquetWriter(draft, rows.schema().to_pyarrow()) as writer:
        for batch in backend.to_pyarrow_batches(rows.order_by("customer_key")):
            writer.write_batch(batch)


def _rows(events: Events) -> ir.Table:
    activities, traits = events.activities, events.traits
    stated = activities.filter(activities.kind.isin(list(KINDS)) & (activities.name != UNDONE))
    declared = traits.filter((traits.name == NEWSLETTER) | traits.name.startswith(PREFIX))
    absent = ibis.null("string")
    rows: ir.Table = stated.mutate(value=absent).select(*_STORED)
    return rows.union(declared.mutate(kind=absent, channel=absent).select(*_STORED))


def stored(home: Home) -> tuple[str, dict[str, str]]:
    """The stored rows as DuckDB's relations by event table, and a stamp that changes with them.

    Raises:
        NothingThere: none are stored.
    """
    path = _file(home)
    try:
        stamp = f"{path} {path.stat().st_mtime_ns}"
    except FileNotFoundError as error:
        raise NothingThere(
            f"the consents of {home.path} were not read from its warehouse yet; run `patron build`"
        ) from error
    rows = f"read_parquet({literal(path)})"
    conditions = {"activities": "kind IS NOT NULL", "traits": "kind IS NULL"}
    return stamp, {name: f"(FROM {rows} WHERE {condition})" for name, condition in conditions.items()}


def _file(home: Home) -> Path:
    return home.snapshots / lake.metadata(home).generation / "consents.parquet"
