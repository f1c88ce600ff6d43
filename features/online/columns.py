"""Many customers' features out of packed cells, column by column, for those who score everybody.

``packed.decode`` goes cell by cell and suits the few of a request; here numpy takes whole cells apart at
once. Both give the same values to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.online.cells import CellStore
from features.online.packed import AS_OF, LAYOUT, NULLS, TYPES, WORD, Layout, OtherLayout, Selection
from features.online.rows import filled_otherwise

Words = NDArray[np.int64]
"""A row per word of a cell, a column per customer."""


@dataclass(frozen=True)
class OnlineColumns:
    """Features of customers, in the order of the keys asked for.

    Attributes:
        values: per feature an Arrow array of the feature's own type; null where missing.
        as_of: per customer the oldest as_of of the groups read, in microseconds since 1970 (int64); null
            for one without a row.
    """

    values: Mapping[str, pa.Array]
    as_of: pa.Array


ColumnReader: TypeAlias = Callable[[Sequence[int]], OnlineColumns]


def reader(place: CellStore, layouts: Mapping[str, Layout], views: Mapping[str, str]) -> ColumnReader:
    """A function that reads features for many customers by key; threads may share it.

    Args:
        layouts: by view.
        views: of each feature to be read, in the order of the answer.

    Raises (the function):
        PatronError: the store is missing, cannot be read, or was filled by other definitions.
    """
    parts = {
        view: Selection(layouts[view], [name for name in views if views[name] == view])
        for view in dict.fromkeys(views.values())
    }

    def read(keys: Sequence[int]) -> OnlineColumns:
        cells = place.read(keys, list(parts))
        try:
            columns = [decode(*both) for both in zip(parts.values(), cells, strict=True)]
        except OtherLayout as error:
            raise filled_otherwise(place, error) from error
        values = {name: column for part in columns for name, column in part.values.items()}
        return OnlineColumns({name: values[name] for name in views}, _oldest([c.as_of for c in columns]))

    return read


def decode(selection: Selection, cells: Sequence[bytes | None]) -> OnlineColumns:
    """The selected features of the cells' customers.

    Raises:
        OtherLayout: a cell was written by other definitions.
    """
    layout, size = selection.layout, selection.layout.fixed.size
    missing = np.array([cell is None for cell in cells]) if None in cells else None
    blank = _blank(layout)
    full = [blank if cell is None else cell for cell in cells]
    # Only slices are taken cell by cell: texts make cells of unlike length.
    fixed = b"".join([cell[:size] for cell in full])
    if len(fixed) != len(full) * size:
        raise OtherLayout(layout.view)
    words = np.ascontiguousarray(np.frombuffer(fixed, "<i8").reshape(len(full), size // WORD).T)
    if (words[LAYOUT] != np.frombuffer(layout.digest, "<i8")).any():
        raise OtherLayout(layout.view)
    texts = _texts(layout, words, full) if _has_text(selection) else None
    values = {name: _column(layout, words, layout.place[name], texts) for name in selection.names}
    as_of = words[AS_OF].view(">i8").astype(np.int64)
    return OnlineColumns(values, pa.array(as_of, mask=missing))


def _blank(layout: Layout) -> bytes:
    """A cell in which every feature is null."""
    nulls, words = b"\xff" * layout.null_bytes, bytes(WORD * len(layout.fields))
    return layout.digest + bytes(WORD * (NULLS - AS_OF)) + nulls + words


def _column(layout: Layout, words: Words, place: int, texts: pa.Array | None) -> pa.Array:
    bit = words[NULLS + place // 64].view(np.uint64) & np.uint64(1 << place % 64)
    null = bit.astype(bool) if bit.any() else None
    dtype, word = layout.fields[place].dtype, words[_first(layout) + place]
    if dtype == "string":
        assert texts is not None
        texts_of_a_cell = _texts_before(layout, len(layout.fields))
        places = np.arange(len(word)) * texts_of_a_cell + _texts_before(layout, place)
        return texts.take(pa.array(places, mask=null))
    plain = {"float64": word.view(np.float64), "boolean": word.astype(bool)}.get(dtype, word)
    return pa.array(plain, TYPES[dtype], mask=null)


def _texts(layout: Layout, words: Words, cells: Sequence[bytes]) -> pa.Array:
    """All texts of all cells, customer by customer: they lie in a row, and words say their ends."""
    places = [_first(layout) + i for i, field in enumerate(layout.fields) if field.dtype == "string"]
    ends = words[places].T
    begins = np.cumsum(ends[:, -1]) - ends[:, -1]
    offsets = np.concatenate([[0], (begins[:, None] + ends).ravel()]).astype(np.int32)
    data = b"".join([cell[layout.fixed.size :] for cell in cells])
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _has_text(selection: Selection) -> bool:
    fields, place = selection.layout.fields, selection.layout.place
    return any(fields[place[name]].dtype == "string" for name in selection.names)


def _texts_before(layout: Layout, place: int) -> int:
    return sum(field.dtype == "string" for field in layout.fields[:place])


def _first(layout: Layout) -> int:
    """The word of the first feature."""
    return NULLS + layout.null_bytes // WORD


def _oldest(groups: Sequence[pa.Array]) -> pa.Array:
    """Per customer the oldest moment of the groups; null for one without any."""
    oldest: Any = pc.min_element_wise(*groups, skip_nulls=True)
    return oldest
