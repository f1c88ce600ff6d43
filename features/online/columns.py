"""Decodes packed cells of many customers column by column, for bulk scoring.

``packed.decode`` works cell by cell and is faster for the few cells of a request; here numpy processes whole
cells at once. Both give the same values to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.online.packed import (
    AS_OF,
    LAYOUT,
    NULLS,
    WORD,
    CellLayout,
    Columns,
    LayoutMismatch,
    Selection,
)

Words = NDArray[np.int64]
"""A row per word of a cell, a column per customer."""


@dataclass(frozen=True)
class OnlineColumns:
    """Features of customers, in the order of the requested keys.

    Attributes:
        values: per feature an Arrow array of the feature's own type; null if missing.
        as_of: per customer the oldest as_of of the requested groups, in microseconds since 1970 (int64); null
            for a customer without a row.
        moments: per group the as_of of each customer's cell.
    """

    values: Mapping[str, pa.Array]
    as_of: pa.Array
    moments: Mapping[str, pa.Array] = field(default_factory=dict)


def decode(selection: Selection, cells: Sequence[bytes | None]) -> OnlineColumns:
    """The selected features of the cells' customers.

    Raises:
        LayoutMismatch: a cell was written by other definitions.
    """
    layout, parsed = selection.layout, _parsed(selection.layout, cells)
    texts = _texts(layout, parsed) if _has_text(selection) else None
    values = {name: _column(layout, parsed, layout.place[name], texts) for name in selection.names}
    return OnlineColumns(values, pa.array(_moments(parsed.words), mask=parsed.missing))


def decode_lists(selection: Selection, cells: Sequence[bytes | None]) -> Columns:
    """The same result as :func:`features.online.packed.decode`, faster for hundreds of cells.

    Raises:
        LayoutMismatch: a cell was written by other definitions.
    """
    layout, parsed = selection.layout, _parsed(selection.layout, cells)
    texts = _texts(layout, parsed) if _has_text(selection) else None
    values = {}
    for name in selection.names:
        place = layout.place[name]
        if layout.fields[place].dtype == "string":
            values[name] = _column(layout, parsed, place, texts).to_pylist()
        else:
            values[name] = _plain(layout, parsed.words, place).tolist()
            _blank_out(values[name], _null(parsed, place))
    as_of = _moments(parsed.words).tolist()
    _blank_out(as_of, parsed.missing)
    return Columns(values, as_of)


def _blank_out(values: list[Any], where: NDArray[np.bool_] | None) -> None:
    for i in () if where is None else np.flatnonzero(where).tolist():
        values[i] = None


class _ParsedCells(NamedTuple):
    """Cells in words.

    Attributes:
        cells: with blank ones in place of missing ones.
        missing: which cells are missing; None if none is.
        nulls: the null bits that are set in any cell.
    """

    words: Words
    cells: list[bytes]
    missing: NDArray[np.bool_] | None
    nulls: int


def _parsed(layout: CellLayout, cells: Sequence[bytes | None]) -> _ParsedCells:
    size = layout.fixed.size
    missing = np.array([cell is None for cell in cells]) if None in cells else None
    blank = _blank(layout)
    full = [blank if cell is None else cell for cell in cells]
    # Only slices are taken cell by cell, since texts make the cells' lengths differ.
    fixed = b"".join([cell[:size] for cell in full])
    if len(fixed) != len(full) * size:
        raise LayoutMismatch(layout.view)
    words = np.ascontiguousarray(np.frombuffer(fixed, "<i8").reshape(len(full), size // WORD).T)
    if (words[LAYOUT] != np.frombuffer(layout.digest, "<i8")).any():
        raise LayoutMismatch(layout.view)
    nulls = np.bitwise_or.reduce(words[NULLS : _first(layout)], axis=1)
    return _ParsedCells(words, full, missing, int.from_bytes(nulls.tobytes(), "little"))


def _moments(words: Words) -> NDArray[np.int64]:
    values: NDArray[np.int64] = words[AS_OF].view(">i8").astype(np.int64)
    return values


def _blank(layout: CellLayout) -> bytes:
    """A cell in which every feature is null."""
    nulls, words = b"\xff" * layout.null_bytes, bytes(WORD * len(layout.fields))
    return layout.digest + bytes(WORD * (NULLS - AS_OF)) + nulls + words


def _column(layout: CellLayout, parsed: _ParsedCells, place: int, texts: pa.Array | None) -> pa.Array:
    null, dtype = _null(parsed, place), layout.fields[place].dtype
    if dtype == "string":
        assert texts is not None
        texts_of_a_cell = _texts_before(layout, len(layout.fields))
        places = np.arange(len(parsed.cells)) * texts_of_a_cell + _texts_before(layout, place)
        return texts.take(pa.array(places, mask=null))
    return pa.array(_plain(layout, parsed.words, place), mask=null)  # naming the type doubles the time


def _plain(layout: CellLayout, words: Words, place: int) -> NDArray[Any]:
    """A feature that is not a text; values at nulls are arbitrary."""
    word: NDArray[Any] = words[_first(layout) + place]
    dtype = layout.fields[place].dtype
    if dtype == "float64":
        return word.view(np.float64)
    return word.astype(bool) if dtype == "boolean" else word


def _null(parsed: _ParsedCells, place: int) -> NDArray[np.bool_] | None:
    """A mask of the nulls of a feature; None if there are none."""
    if not parsed.nulls >> place & 1:
        return None
    bits: NDArray[np.uint64] = parsed.words[NULLS + place // 64].view(np.uint64)
    return (bits & np.uint64(1 << place % 64)).astype(bool)


def _texts(layout: CellLayout, parsed: _ParsedCells) -> pa.Array:
    """All texts of all cells, customer by customer; they are concatenated, and words contain their ends."""
    places = [_first(layout) + i for i, field in enumerate(layout.fields) if field.dtype == "string"]
    ends = parsed.words[places].T
    begins = np.cumsum(ends[:, -1]) - ends[:, -1]
    offsets = np.concatenate([[0], (begins[:, None] + ends).ravel()]).astype(np.int32)
    data = b"".join([cell[layout.fixed.size :] for cell in parsed.cells])
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _has_text(selection: Selection) -> bool:
    fields, place = selection.layout.fields, selection.layout.place
    return any(fields[place[name]].dtype == "string" for name in selection.names)


def _texts_before(layout: CellLayout, place: int) -> int:
    return sum(field.dtype == "string" for field in layout.fields[:place])


def _first(layout: CellLayout) -> int:
    """The index of the first feature's word."""
    return NULLS + layout.null_bytes // WORD
