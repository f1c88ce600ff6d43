"""The online store as a Feast plugin: the SDK reads, writes, pushes and materialises packed cells.

Configuration in a ``feature_store.yaml``::

    online_store:
        type: features.catalogue.plugin.PackedOnlineStore
        address: redis://127.0.0.1:6379/0        # or the path of an SQLite file

Paths may be relative to the file's folder. :mod:`features.catalogue.repository` writes one into each home.

Feast passes rows as protocol buffers, which takes longer than everything else, so fast paths
(:meth:`features.catalogue.store.Store.reader` and ``write_online``) use the cells directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from feast.types import Bool, Float64, Int64, String

from core import home_id
from core.calendar import micros, moment
from core.errors import PatronError
from core.home import Home
from features.catalogue.views import View
from features.online.cells import CellStore, nobody
from features.online.open import open_cells
from features.online.packed import CellLayout, Field, Selection, encode
from features.online.rows import CLOCKS_APART, unpacked

DTYPES = {Int64: "int64", Float64: "float64", String: "string", Bool: "boolean"}
# For each type the field of Feast's value that contains it, and Arrow's type.
_VALUE_FIELDS = {
    "int64": ("int64_val", pa.int64()),
    "float64": ("double_val", pa.float64()),
    "string": ("string_val", pa.string()),
    "boolean": ("bool_val", pa.bool_()),
}
_NOTHING = Value()
_Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class PackedOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """The location of the cells: ``redis://host:port/db``, or the path of an SQLite file; and their home.

    ``managed`` refuses changes of views through Feast, since ``patron build`` registers them.
    """

    type: Literal["features.catalogue.plugin.PackedOnlineStore"] = (
        "features.catalogue.plugin.PackedOnlineStore"
    )
    address: str
    home: str | None = None
    managed: bool = False


class PackedOnlineStore(OnlineStore):  # type: ignore[misc]
    """Feast's interface over a :class:`features.online.cells.CellStore`; one integer entity."""

    _cells: CellStore | None = None

    def cells(self, config: RepoConfig) -> CellStore:
        """The cell store, opened once."""
        if self._cells is None:
            base, online = Path(config.repo_path or ""), config.online_store
            owner = nobody if online.home is None else partial(home_id.read, Home(base / online.home))
            server = "://" in online.address
            self._cells = open_cells(online.address if server else str(base / online.address), owner=owner)
        return self._cells

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[_Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows of one view; a row older than the stored one is ignored."""
        layout = layout_of(table)
        rows = pa.table({f.name: _column(f, [values for _, values, *_ in data]) for f in layout.fields})
        as_of = np.array([micros(at) for _, _, at, _ in data], np.int64)
        cells = encode(layout, rows, as_of)
        keys = [_key(entity) for entity, *_ in data]
        self.cells(config).write(keys, {layout.view: cells}, micros(datetime.now(UTC) + CLOCKS_APART))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Per customer the moment and the values; nothing for a customer without a row.

        Raises:
            PatronError: the store is missing, cannot be read, or has other definitions.
        """
        layout, place = layout_of(table), self.cells(config)
        names = requested_features or [field.name for field in layout.fields]
        (cells,) = place.read([_key(entity) for entity in entity_keys], [layout.view])
        columns_read = unpacked(place, Selection(layout, names), cells)
        columns = [[_value(layout, name, value) for value in columns_read.values[name]] for name in names]
        return [
            (None, None) if at is None else (moment(at), dict(zip(names, row, strict=True)))
            for at, row in zip(columns_read.as_of, zip(*columns, strict=True), strict=True)
        ]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        **_: Any,
    ) -> None:
        """Remove deleted views, and prepare new views and those with changed definitions.

        Raises:
            PatronError: the store is managed by ``patron build``, or cannot be written.
        """
        _check_not_managed(config)
        place = self.cells(config)
        if tables_to_keep:
            place.prepare([layout_of(view) for view in tables_to_keep])
        if tables_to_delete:
            place.drop([view.name for view in tables_to_delete])

    def teardown(self, config: RepoConfig, *_: Any) -> None:
        """Erase everything; see :meth:`update`."""
        _check_not_managed(config)
        self.cells(config).clear()


def _check_not_managed(config: RepoConfig) -> None:
    if config.online_store.managed:
        raise PatronError("`patron build` registers the views of this feature store; Feast may only read it")


def view_of(view: FeatureView) -> View:
    """The stored form of a feature view."""
    fields = (
        Field(field.name, DTYPES.get(field.dtype, str(field.dtype)), field.tags.get("definition", ""))
        for field in view.features
    )
    return View(view.name, tuple(fields), view.ttl or timedelta(0))


def layout_of(view: FeatureView) -> CellLayout:
    """The layout of a feature view's cells.

    Raises:
        PatronError: a feature has a type that cells do not support.
    """
    return view_of(view).layout


def _key(entity: EntityKey) -> int:
    if len(entity.entity_values) != 1 or not entity.entity_values[0].HasField("int64_val"):
        raise PatronError(
            f"the online store holds rows by one integer key, not by {', '.join(entity.join_keys)}"
        )
    return int(entity.entity_values[0].int64_val)


def _column(field: Field, rows: list[dict[str, Value]]) -> pa.Array:
    """One feature of Feast's rows; unset values are null."""
    value_field, kind = _VALUE_FIELDS[field.dtype]
    values = [row.get(field.name, _NOTHING) for row in rows]
    return pa.array(
        [getattr(value, value_field) if value.WhichOneof("val") == value_field else None for value in values],
        kind,
    )


def _value(layout: CellLayout, name: str, value: Any) -> Value:
    value_field, _ = _VALUE_FIELDS[layout.fields[layout.place[name]].dtype]
    return _NOTHING if value is None else Value(**{value_field: value})
