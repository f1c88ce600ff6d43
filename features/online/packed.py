"""The features of one group of one customer as one packed cell, and cells back into columns.

A cell is a run of 8-byte little-endian words, then text::

    layout | as_of | next_change_at | null bits ... | one word per feature ... | UTF-8 of the strings

Integers and floats keep every bit, a boolean is 0 or 1, a string's word says where its text ends. The
first word is a digest of the features' names, types and definitions, so a cell that was written by
other definitions is recognised and never misread. ``as_of`` alone is big-endian, so that a store can
compare the moments of two cells as bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.errors import PatronError

FORMAT = 1
WORD = 8
LAYOUT, AS_OF, NEXT_CHANGE, NULLS = range(4)
_FIRST = 4  # of the values in an unpacked cell
_TYPES = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
_CODES = {"int64": "q", "float64": "d", "string": "q", "boolean": "?7x"}

Micros = NDArray[np.int64]
"""Moments as microseconds since 1970-01-01 UTC; 0 where there is none."""


class OtherLayout(Exception):
    """A cell was written by other definitions than those it is read by."""


@dataclass(frozen=True)
class Field:
    """A feature as a cell holds it.

    Attributes:
        dtype: ``int64``, ``float64``, ``string`` or ``boolean``.
        definition: the hash of what it is computed by.
    """

    name: str
    dtype: str
    definition: str


@dataclass(frozen=True)
class Layout:
    """What the cells of a feature view hold, and in which order."""

    view: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if strange := [field.name for field in self.fields if field.dtype not in _TYPES]:
            raise PatronError(
                f"the online store cannot hold {self.view}.{strange[0]}; a feature is {', '.join(_TYPES)}"
            )

    @cached_property
    def digest(self) -> bytes:
        """The first word of every cell of this layout."""
        fields = [(field.name, field.dtype, field.definition) for field in self.fields]
        return hashlib.sha256(json.dumps([FORMAT, self.view, fields]).encode()).digest()[:WORD]

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each feature stands among the features."""
        return {field.name: i for i, field in enumerate(self.fields)}

    @cached_property
    def null_bytes(self) -> int:
        """The bytes that hold one bit per feature, filled up to whole words."""
        return -(-len(self.fields) // 64) * WORD

    @cached_property
    def fixed(self) -> struct.Struct:
        """A cell up to its text: layout, as_of, next_change_at, null bits, features."""
        codes = "".join(_CODES[field.dtype] for field in self.fields)
        return struct.Struct(f"<{WORD}s{WORD}sq{self.null_bytes}s{codes}")


def encode(layout: Layout, rows: pa.Table, as_of: Micros, next_change_at: Micros) -> list[bytes]:
    """One cell per row.

    Args:
        rows: one column per feature of the layout, and any others.
        as_of: per row the moment its features were computed for, from 1970 on.
        next_change_at: per row the moment at which they change without an event.
    """
    count, first = rows.num_rows, NULLS + layout.null_bytes // WORD
    words = np.zeros((count, first + len(layout.fields)), "<i8")
    words[:, LAYOUT] = np.frombuffer(layout.digest, "<i8")
    words[:, AS_OF] = as_of.astype(">i8").view("<i8")
    words[:, NEXT_CHANGE] = next_change_at
    nulls = np.zeros((count, layout.null_bytes * 8), bool)
    texts: list[Any] = []
    end = np.zeros(count, np.int64)
    for i, field in enumerate(layout.fields):
        column = rows[field.name].cast(_TYPES[field.dtype]).combine_chunks()
        nulls[:, i] = column.is_null().to_numpy(zero_copy_only=False)
        if field.dtype == "string":
            texts.append(column.cast(pa.binary()).fill_null(b""))
            words[:, first + i] = end = end + pc.binary_length(texts[-1]).to_numpy()
        else:
            values = column.fill_null(False if field.dtype == "boolean" else 0)
            plain = values.to_numpy(zero_copy_only=False)
            words[:, first + i] = plain.view(np.int64) if field.dtype == "float64" else plain
    words[:, NULLS:first] = np.packbits(nulls, axis=1, bitorder="little").view("<i8")
    joined, size = words.tobytes(), layout.fixed.size
    fixed = [joined[start : start + size] for start in range(0, len(joined), size)]
    if not texts:
        return fixed
    tails = pc.binary_join_element_wise(*texts, b"").to_pylist()
    return [part + tail for part, tail in zip(fixed, tails, strict=True)]


@dataclass(frozen=True)
class Columns:
    """Cells, unpacked.

    Attributes:
        values: per feature one value per cell; None where it is null or there is no cell.
        as_of, next_change_at: per cell, in microseconds since 1970; None where there is no cell.
    """

    values: dict[str, list[Any]]
    as_of: list[int | None]
    next_change_at: list[int | None]


def decode(layout: Layout, names: Sequence[str], cells: Sequence[bytes | None]) -> Columns:
    """Some features of the cells' customers, as columns.

    Raises:
        OtherLayout: a cell was written by other definitions.
    """
    held = [cell for cell in cells if cell is not None]
    if not all(cell.startswith(layout.digest) for cell in held):
        raise OtherLayout(layout.view)
    unpack = layout.fixed.unpack_from
    # For few cells this beats numpy ten times, for a thousand it is as fast.
    columns = list(zip(*[unpack(cell) for cell in held], strict=True)) or [()] * (_FIRST + len(layout.fields))
    wanted = {layout.place[name]: name for name in names}
    values = {name: _values(layout, columns, held, i) for i, name in wanted.items()}
    places: dict[bytes, list[str]] = {}
    for row, bits in enumerate(columns[NULLS]):
        if bits not in places:
            number = int.from_bytes(bits, "little")
            places[bits] = [name for i, name in wanted.items() if number >> i & 1]
        for name in places[bits]:
            values[name][row] = None
    moments = [int.from_bytes(moment, "big", signed=True) for moment in columns[AS_OF]]
    there = [i for i, cell in enumerate(cells) if cell is not None]
    return Columns(
        {name: _spread(values[name], there, len(cells)) for name in names},
        _spread(moments, there, len(cells)),
        _spread(columns[NEXT_CHANGE], there, len(cells)),
    )


def moment_of(cell: bytes) -> int:
    """A cell's as_of, in microseconds since 1970, whatever its layout."""
    return int.from_bytes(cell[AS_OF * WORD : NEXT_CHANGE * WORD], "big", signed=True)


def _values(layout: Layout, columns: list[tuple[Any, ...]], held: list[bytes], i: int) -> list[Any]:
    """The values of one feature; a string begins where the one before it ends."""
    found = list(columns[_FIRST + i])
    if layout.fields[i].dtype != "string":
        return found
    size = layout.fixed.size
    before = [j for j in range(i) if layout.fields[j].dtype == "string"]
    starts = columns[_FIRST + before[-1]] if before else (0,) * len(held)
    return [
        str(cell[size + start : size + end], "utf-8")
        for cell, start, end in zip(held, starts, found, strict=True)
    ]


def _spread(found: Sequence[Any], there: list[int], count: int) -> list[Any]:
    """The values at the places of their cells, None elsewhere."""
    if len(there) == count:
        return list(found)
    full: list[Any] = [None] * count
    for i, value in zip(there, found, strict=True):
        full[i] = value
    return full
