"""Classifies the columns of a company's own table: number, category, boolean, or unusable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import PatronError
from events.files.table import Profile, Table
from models.estimator import Array
from models.registry.encoding import SMALLEST_CATEGORY, Column, column_matrix, vocabulary

UNITS = {"float64": "number", "boolean": "yes or no", "string": "category"}
NUMERIC_SHARE = 0.9  # of filled cells; other cells of such a column count as missing
_NAMES_CUSTOMERS = re.compile(
    r"(^|_)(id|uuid|guid|key)$|^(customer|client|user|member)(_?(no|number|code))?$|mail"
)


@dataclass(frozen=True)
class Understood:
    """The columns of a table.

    Attributes:
        types: by usable column ``float64``, ``boolean`` or ``string``.
        left_out: by other column the reason.
        identifiers: the columns among them that identify customers.
        notes: conversions of values, as text.
    """

    types: dict[str, str]
    left_out: dict[str, str]
    identifiers: tuple[str, ...]
    notes: tuple[str, ...]


def understand(table: Table, set_aside: Collection[str]) -> Understood:
    """Classify each column by all of its cells.

    Args:
        set_aside: columns to ignore: the target, the time, and those to drop.

    Raises:
        PatronError: a column with customer ids has duplicates, or no usable column is left.
    """
    types: dict[str, str] = {}
    left_out: dict[str, str] = {}
    identifiers, notes = [], []
    for name in table.names:
        if name in set_aside:
            continue
        profile = table.profile(name)
        if _names_customers(profile):
            _refuse_twice(table, profile)
            identifiers.append(name)
            left_out[name] = "names customers"
        elif why := _nothing_to_learn(profile):
            left_out[name] = why
        else:
            types[name] = _type(profile)
            notes += _readings(profile, types[name])
    for name, why in _without_categories(table, types).items():
        del types[name]
        left_out[name] = why
    if not types:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "it has no other column"
        raise PatronError(f"{table.place}: there is no column to learn from ({reasons})")
    return Understood(types, left_out, tuple(identifiers), tuple(notes))


def columns_of(table: Table, types: dict[str, str], rows: NDArray[np.int64]) -> tuple[Column, ...]:
    """The columns of a model, with the categories that enough customers share.

    Args:
        rows: the rows whose categories count, by number from 0.
    """
    texts = table.typed({name: dtype for name, dtype in types.items() if dtype == "string"})
    return tuple(
        Column(
            name,
            dtype,
            UNITS[dtype],
            hashlib.sha256(f"{dtype} column {name} of a table".encode()).hexdigest(),
            vocabulary(texts[name].take(pa.array(rows)).to_pandas()) if dtype == "string" else (),
        )
        for name, dtype in types.items()
    )


def matrix_of(table: Table, columns: Iterable[Column]) -> tuple[Array, tuple[str, ...]]:
    """The matrix with one row per customer and one column per feature, and notes about unknown values.

    Unknown categories, and values in numeric columns that are not finite numbers, count as missing.

    Raises:
        PatronError: a column is missing, or a numeric column contains no number.
    """
    columns = tuple(columns)
    values = table.typed({column.name: column.dtype for column in columns})
    x = column_matrix(columns, values)
    notes = []
    for i, column in enumerate(columns):
        filled = table.filled(column.name)
        read = int(np.isfinite(x[:, i]).sum())
        if column.dtype != "string" and filled and not read:
            raise PatronError(
                f"{table.place}: {column.name} holds no {UNITS[column.dtype]}, and the model learnt from such"
            )
        if read < filled:
            what = (
                "values that the model does not know" if column.dtype == "string" else "cells of another kind"
            )
            notes.append(f"{column.name}: {filled - read:,} {what}; they count as missing")
    return x, tuple(notes)


def _names_customers(profile: Profile) -> bool:
    """Whether the column identifies customers: by its name, or as a number that rises from row to row."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s.-]+", "_", profile.name).lower()
    if _NAMES_CUSTOMERS.search(snake) and profile.distinct > profile.filled / 2:
        return True
    whole = 0 < profile.filled == profile.whole
    return whole and profile.rising and profile.filled == profile.distinct > SMALLEST_CATEGORY


def _refuse_twice(table: Table, profile: Profile) -> None:
    if again := profile.filled - profile.distinct:
        raise PatronError(
            f"{table.place}: {profile.name} names customers, and {again:,} rows name one that another row"
            f" names too; it takes one row per customer (--drop {profile.name} if it names something else)"
        )


def _nothing_to_learn(profile: Profile) -> str | None:
    known = profile.filled - profile.unknown - profile.infinite
    if not profile.filled or (not known and not profile.truths):
        return "holds no value"
    if profile.distinct == 1 and profile.filled == profile.rows:
        return "holds the same value everywhere"
    if not _numeric(profile) and profile.moments > NUMERIC_SHARE * profile.filled:
        return "holds moments; a number of days since them could be learnt from"
    return None


def _numeric(profile: Profile) -> bool:
    stated = profile.filled - profile.unknown
    return profile.numbers > 0 and profile.numbers + profile.infinite >= NUMERIC_SHARE * stated


def _type(profile: Profile) -> str:
    if _numeric(profile):
        return "float64"
    return "boolean" if profile.truths == profile.filled else "string"


def _readings(profile: Profile, dtype: str) -> list[str]:
    """What of a column is read as missing, though it is not blank."""
    others = profile.filled - profile.unknown - profile.numbers - profile.infinite
    counted = {"infinite": profile.infinite, "no numbers": others} if dtype == "float64" else {}
    return [f"{profile.name}: {n:,} are {what}, and missing" for what, n in counted.items() if n > 0]


def _without_categories(table: Table, types: dict[str, str]) -> dict[str, str]:
    texts = [name for name, dtype in types.items() if dtype == "string"]
    why = f"is free text: no value is shared by {SMALLEST_CATEGORY} customers"
    values = table.typed(dict.fromkeys(texts, "string"))
    return {name: why for name in texts if not vocabulary(values[name].to_pandas())}
