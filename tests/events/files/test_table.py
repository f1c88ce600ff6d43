"""Tables with one row per customer: how their numbers are written, and files without names of columns."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.files.table import Table, open_table


def table(folder: Path, text: str) -> Table:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return open_table(path)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.200,50", "33,1", "n/a"], [1200.5, 33.1, np.nan]),
        (["1,200.50", "33.1"], [1200.5, 33.1]),
        (["1'200.50", "33.1"], [1200.5, 33.1]),
        (["€ 5,50", "€ 6"], [5.5, 6]),
        (["12,5 %", "7 %"], [12.5, 7]),
        (["1 200,5", "30"], [1200.5, 30]),
        (["(5.50)", "5.50-", "1e3"], [-5.5, -5.5, 1000]),
        (["1.5", "inf", "2"], [1.5, np.nan, 2]),
        (["3,100,000", "950"], [3_100_000, 950]),
        (["01.03.2024", "02.03.2024"], [np.nan, np.nan]),
        (["1.2.3", "2.3.4"], [np.nan, np.nan]),
        (["a, b", "c. 5"], [np.nan, np.nan]),
    ],
)
def test_numbers_are_read_as_their_column_writes_them(
    tmp_path: Path, cells: list[str], expected: list[float]
) -> None:
    rows = "".join(f'{i};"{cell}"\n' for i, cell in enumerate(cells))
    result = table(tmp_path, f"id;x\n{rows}")
    np.testing.assert_array_equal(result.numbers("x"), expected)
    assert result.profile("x").numbers == sum(np.isfinite(expected))


def test_what_a_column_leaves_open_the_others_decide(tmp_path: Path) -> None:
    german = table(tmp_path, "a;b\n1.200;0,5\n950;1,25\n")
    assert german.numbers("a").tolist() == [1200, 950]
    assert german.notes == tuple(f"{name}: numbers are read with a decimal comma" for name in "ab")
    english = table(tmp_path, 'a;b\n1.234;0.5\n2.345;1.25\n"1,200";3.5\n')
    assert english.numbers("a").tolist() == [1.234, 2.345, 1200]
    assert english.notes == ()


def test_what_nothing_decides_is_noted(tmp_path: Path) -> None:
    result = table(tmp_path, "a;b\n1.200;3,100\n950;20\n")
    assert (result.numbers("a").tolist(), result.numbers("b").tolist()) == ([1.2, 950], [3100, 20])
    assert result.notes == (
        "a: a point is read as the decimal mark; no cell decides it",
        "b: a comma is read as a separator of thousands; no cell decides it",
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9_999_999, 9_999_999), min_size=1, max_size=12), st.sampled_from([",", "."]))
def test_a_table_means_the_same_with_either_decimal_mark(cents: list[int], decimal: str) -> None:
    thousands = "," if decimal == "." else "."
    written = [f"{c / 100:,.2f}".translate(str.maketrans(",.", thousands + decimal)) for c in cents]
    with tempfile.TemporaryDirectory() as folder:
        result = table(Path(folder), "id|x\n" + "".join(f"{i}|{cell}\n" for i, cell in enumerate(written)))
        assert result.numbers("x").tolist() == [c / 100 for c in cents]


def test_a_table_without_names_of_columns_has_their_positions(tmp_path: Path) -> None:
    result = table(tmp_path, "K1,2024-03-01,5\nK2,2024-03-02,7\n")
    assert (result.names, result.rows) == (("column0", "column1", "column2"), 2)
    assert "the first line looks like data" in result.notes[0]
