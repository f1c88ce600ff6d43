"""The judgement of an import: the summary by month, the warnings, the refusal, and the dry run."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.errors import PatronError
from core.home import Home
from events.files import imports, rejected_rows
from patron import app

SHOP = '[shop]\ntime_zone = "Europe/Berlin"\ncurrency = "EUR"\n'
ORDERS = '[orders]\ncustomer = "who"\ntime = "day"\norder = "no"\namount = "paid"\n'
HEADER = "who,day,no,paid"
GOOD = [f"c{i},2024-03-{i % 20 + 1:02},{i},{i + 1}.50" for i in range(20)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "orders.csv") -> str:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


def own(folder: Path, further: str = "") -> str:
    path = folder / "own.toml"
    path.write_text(SHOP + ORDERS + further, encoding="utf-8")
    return str(path)


def warnings(done: dict[str, Any]) -> dict[str, int]:
    return {warning["code"]: warning["count"] for warning in done["warnings"]}


def dry(folder: Path, *rows: str, further: str = "", header: str = HEADER) -> dict[str, Any]:
    home = Home(folder / "no-home")
    done = imports.dry_run(home, write(folder, *rows, header=header), own(folder, further))
    assert not home.path.exists()
    return done


def test_a_clean_file_has_no_warning(tmp_path: Path):
    done = dry(tmp_path, *GOOD)
    assert (done["warnings"], done["refused"], done["dry_run"]) == ([], "", True)


# The summary by month


def test_the_summary_has_the_months_of_the_shop(tmp_path: Path):
    rows = [
        "ann,2024-03-01 00:30,1,20",
        "ann,2024-03-31 23:30,2,30",
        "bob,2024-04-01,3,-7",
        "bob,2024-03-05,3,7",
    ]
    done = dry(tmp_path, *rows)
    assert done["months"] == [
        {
            "month": "2024-03", "orders": 3, "lines": 3, "gross": 57.0, "discounts": 0.0, "refunds": 0.0,
            "net": 57.0, "customers": 2,
        },
        {
            "month": "2024-04", "orders": 0, "lines": 0, "gross": 0.0, "discounts": 0.0, "refunds": 7.0,
            "net": -7.0, "customers": 1,
        },
    ]  # fmt: skip


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cid"]),
        st.integers(0, 200),
        st.integers(1, 9_999),
        st.integers(0, 500),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=20)
@given(ROWS)
def test_the_summary_is_the_book(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]):
    """A book of orders, summed by hand, is what the summary says of its file, to the cent."""
    lines, by_month = [], defaultdict[str, list[int]](lambda: [0, 0, 0])
    for number, (who, day, cents, off) in enumerate(rows):
        when = date(2024, 1, 1) + timedelta(day)
        lines.append(f"{who},{when},{number},{cents / 100},{off / 100}")
        for i, value in enumerate((1, cents, off)):
            by_month[f"{when:%Y-%m}"][i] += value
    folder = tmp_path_factory.mktemp("book")
    done = dry(folder, *lines, header=HEADER + ",off", further='discount = "off"\n')
    assert {m["month"]: [m["orders"], m["net"], m["discounts"]] for m in done["months"]} == {
        month: [orders, cents / 100, off / 100] for month, (orders, cents, off) in by_month.items()
    }
    assert all(m["gross"] == pytest.approx(m["net"] + m["discounts"]) for m in done["months"])


# Rejected rows


def test_most_rows_rejected_is_refused_and_nothing_changes(home: Home, tmp_path: Path):
    path = write(tmp_path, *GOOD[:2], *(f"ann,2024-03-02,{i + 90},about {i}" for i in range(3)))
    with pytest.raises(
        PatronError, match=r"3 of its 5 rows would be rejected \(unreadable: 3\).*--allow-rejects"
    ) as e:
        imports.import_file(home, path, own(tmp_path))
    assert "row 3: paid: about 0" in str(e.value)
    assert not home.path.exists()
    done = imports.import_file(home, path, own(tmp_path), allow_rejects=True)
    assert warnings(done) == {"rows_rejected": 3}


def test_rows_that_the_mapping_excludes_are_no_reason_to_refuse(tmp_path: Path):
    rows = [*GOOD[:2], *(f"ann,2024-03-02,{i + 90},1" for i in range(5))]
    done = dry(tmp_path, *rows, further='cancelled = { column = "who", one_of = ["ann"] }\n')
    assert (done["set_aside"], done["refused"], done["warnings"]) == ({"cancelled": 5}, "", [])


def test_a_currency_that_is_more_common_than_the_shops_is_refused(tmp_path: Path):
    mixed = ["a,2024-03-01,1,€1", "a,2024-03-01,2,$1", "a,2024-03-01,3,£1", "a,2024-03-01,4,JPY 1"]
    done = dry(tmp_path, *mixed)
    assert (done["refused"], warnings(done)) == ("", {"rows_rejected": 3, "other_currencies": 3})
    assert (
        "3 of its 4 rows"
        in dry(tmp_path, mixed[0], *(f"a,2024-03-01,{i},$1" for i in range(5, 8)))["refused"]
    )


def test_the_report_shows_texts_and_local_times(home: Home, tmp_path: Path):
    rows = [*GOOD, "ann,2024-07-01 12:00,90,ten", "bob,some day,91,5"]
    imports.import_file(home, write(tmp_path, *rows), own(tmp_path))
    columns, listed = rejected_rows.report(home)
    shown = [dict(zip(columns, row, strict=True)) for row in listed]
    assert [(row["row_number"], row["text"], row["timestamp"]) for row in shown] == [
        (21, "paid: ten", "2024-07-01 12:00:00+02:00"), (22, "day: some day", None),
    ]  # fmt: skip
    assert "ann" not in str(shown)


# Days


def test_the_clock_does_not_follow_a_day_in_the_future(home: Home, tmp_path: Path):
    done = imports.import_file(home, write(tmp_path, *GOOD, "ann,2062-01-01,90,5"), own(tmp_path))
    assert (warnings(done), done["clock"]) == ({"days_in_future": 1}, "2024-03-20T23:00:00+00:00")
    more = write(tmp_path, "bob,2024-05-02,91,5", name="more.csv")
    assert imports.import_file(home, more, own(tmp_path))["clock"] == "2024-05-02T22:00:00+00:00"


def test_the_clock_does_not_follow_a_day_far_from_the_others(home: Home, tmp_path: Path):
    rows = [row.replace("2024", "2014") for row in GOOD]
    done = imports.import_file(home, write(tmp_path, *rows, "ann,2017-01-01,90,5"), own(tmp_path))
    assert (warnings(done), done["clock"]) == ({"last_day_far": 1}, "2014-03-20T23:00:00+00:00")
    assert warnings(dry(tmp_path, *rows, "ann,1970-01-01,90,5")) == {"first_day_far": 1}


def test_a_shop_with_few_orders_a_year_has_no_doubtful_day(tmp_path: Path):
    assert warnings(dry(tmp_path, *(f"c{y},{y}-03-01,{y},5" for y in (2014, 2016, 2018, 2020)))) == {}


def test_a_future_is_tomorrow_at_the_earliest(tmp_path: Path):
    today = datetime.now(UTC).date()
    assert warnings(dry(tmp_path, f"ann,{today},1,5", f"bob,{today - timedelta(1)},2,5")) == {}


@pytest.mark.parametrize(
    ("days", "formats", "count"),
    [
        (["04/03/2024", "05/03/2024", "05/05/2024"], '["%d/%m/%Y"]', 2),
        (["04-03-2024", "12-03-2024"], '["%d-%m-%Y"]', 2),
        (["04/03/2024", "25/03/2024"], '["%d/%m/%Y"]', 0),
        (["04/03/2024", "25/03/2024"], '["%d/%m/%Y", "%m/%d/%Y"]', 1),
        (["04.03.2024", "05.03.2024"], '["%d.%m.%Y"]', 0),
    ],
)
def test_days_and_months_that_could_be_swapped(tmp_path: Path, days: list[str], formats: str, count: int):
    rows = [f"c{i},{day},{i},5" for i, day in enumerate(days)]
    done = dry(tmp_path, *rows, further=f"time_formats = {formats}\n")
    assert warnings(done) == ({"days_and_months": count} if count else {})


# Numbers, ids and columns


def test_numbers_used_again_on_another_day_are_other_orders(home: Home, tmp_path: Path):
    rows = [f"ann,2024-03-0{day} 10:00,17,3" for day in (1, 2, 3)]
    done = imports.import_file(home, write(tmp_path, *rows), own(tmp_path))
    assert (done["orders"], warnings(done)) == (3, {"order_numbers_repeated": 1})
    assert dry(tmp_path, *rows, further='order_numbers = "unique"\n')["months"][0]["orders"] == 1


def test_lines_of_an_order_that_were_shipped_on_several_days_stay_one_order(tmp_path: Path):
    rows = [
        f"c{i},2024-03-{day:02},{i},{sku},5" for i in range(9) for day, sku in ((1 + i, "a"), (3 + i, "b"))
    ]
    done = dry(tmp_path, *rows, header="who,day,no,sku,paid", further='product = "sku"\n')
    assert (done["months"][0]["orders"], warnings(done)) == (9, {"order_numbers_repeated": 9})


def test_one_customer_with_a_fifth_of_the_orders_is_named_by_a_row(tmp_path: Path):
    done = dry(tmp_path, *GOOD, *(f"guest,2024-03-01,{i + 90},5" for i in range(5)))
    assert warnings(done) == {"one_customer_with_many_orders": 5}
    (warning,) = done["warnings"]
    assert "first in row 21" in warning["text"]
    assert "guest@" not in warning["text"]
    assert warnings(dry(tmp_path, *GOOD, *(f"guest,2024-03-01,{i + 90},5" for i in range(4)))) == {}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["Ann,2024-03-01,90,5", "ann,2024-03-01,91,5"], {"ids_alike": 1}),
        (["b ob,2024-03-01,92,5", "bob,2024-03-01,93,5"], {"ids_alike": 1}),
        (["1.23457E+12,2024-03-01,90,5"], {"ids_in_exponent_form": 1}),
        (["ann,2024-03-01,4.5E+11,5"], {"ids_in_exponent_form": 1}),
    ],
)  # fmt: skip
def test_ids_that_are_written_wrongly(tmp_path: Path, rows: list[str], expected: dict[str, int]):
    assert warnings(dry(tmp_path, *GOOD, *rows)) == expected


@pytest.mark.parametrize("readable", [True, False])
def test_lines_of_a_database_that_only_another_column_tells_apart(tmp_path: Path, readable: bool):
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE sold (who, day, no, paid, photo BLOB, item, note)")
        rows = [[*row.split(","), b"x", "t", "same"] for row in GOOD]
        rows += [["ann", "2024-03-01", "1", "5", bytes([i]), "x" * 200 + sku, "same"]
                 for i, sku in enumerate(("red", "blue", "green"))]  # fmt: skip
        database.executemany("INSERT INTO sold VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        if not readable:  # SQLite has no rights of columns, but columns that cannot be computed
            database.execute("ALTER TABLE sold ADD COLUMN secret AS (abs(-9223372036854775807 - 1))")
    database.close()
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    done = imports.dry_run(Home(tmp_path / "no-home"), url, own(tmp_path), "sold")
    assert warnings(done) == {"rows_rejected": 2} | ({"lines_alike": 2} if readable else {})
    if readable:
        assert "the columns are item." in done["warnings"][1]["text"]


def test_lines_that_only_another_column_tells_apart(tmp_path: Path):
    rows = [f"ann,2024-03-01,1,5,{sku},x" for sku in ("red", "blue", "green")]
    done = dry(tmp_path, *(f"{row},t,x" for row in GOOD), *rows, header=HEADER + ",item,shop")
    assert warnings(done) == {"rows_rejected": 2, "lines_alike": 2}
    assert "the columns are item." in done["warnings"][1]["text"]
    assert 'product = "item"' in done["warnings"][1]["text"]
    twice = [*(f"{row},t,x" for row in GOOD), *[f"{GOOD[0]},t,x"]]
    assert warnings(dry(tmp_path, *twice, header=HEADER + ",item,shop")) == {}


# By hand


def run(home: Home, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["import", *arguments], env={"PATRON_HOME": str(home.path)})
    return result.exit_code, result.output


def test_a_dry_run_by_hand_writes_nothing_and_fails_where_the_import_would(home: Home, tmp_path: Path):
    code, text = run(home, write(tmp_path, *GOOD), "--as", own(tmp_path), "--dry-run")
    assert code == 0
    assert "2024-03" in text
    assert "210.00" not in text.splitlines()[0]
    bad = write(tmp_path, GOOD[0], "ann,2024-03-01,9,x", "ann,2024-03-01,8,y")
    code, text = run(home, bad, "--as", own(tmp_path), "--dry-run")
    assert code == 1
    assert "WARNING it would be refused" in text
    assert run(home, bad, "--as", own(tmp_path), "--dry-run", "--allow-rejects")[0] == 0
    assert not home.path.exists()


def test_an_import_by_hand_prints_the_months_and_warnings_also_as_json(home: Home, tmp_path: Path):
    path = write(tmp_path, *GOOD, "ann,2062-01-01,90,5")
    code, text = run(home, path, "--as", own(tmp_path), "--json")
    done = json.loads(text)
    assert (code, warnings(done), [m["month"] for m in done["months"]]) == (
        0, {"days_in_future": 1}, ["2024-03", "2062-01"],
    )  # fmt: skip
    _, text = run(home, path, "--as", own(tmp_path), "--replace")
    assert "WARNING rows in the future: 1" in text
