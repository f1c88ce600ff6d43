"""Files as people have them: formats, encodings, what stands around a table, and what is no table."""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.errors import PatronError
from events.files import classify, draft_mapping, mapping
from events.files.mapping import FileSection
from events.files.readers import archives, headers
from events.files.readers.opening import open_source
from events.files.table import open_table


def read(path: Path | str, **file: Any) -> tuple[tuple[str, ...], list[tuple[Any, ...]], str]:
    """The columns, the rows without their numbers, and the format of a file."""
    connection = duckdb.connect()
    with open_source(connection, str(path), FileSection(**file)) as source:
        return source.names, [row[1:] for row in source.relation.fetchall()], source.format


def drafted(path: Path | str) -> tuple[str, mapping.Mapping]:
    """The draft of a file, and the mapping that it is."""
    text = draft_mapping.draft(connect(), str(path))
    return text, mapping.Mapping.model_validate(tomllib.loads(text))


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def lines(path: Path | str) -> list[tuple[str, datetime, Decimal]]:
    """The customer, time and amount of each order line that the draft of a file makes of it."""
    _, how = drafted(path)
    connection = connect()
    classify.read(connection, str(path), how)
    return connection.execute(
        "SELECT customer_id, timestamp, amount::DECIMAL(18, 2) FROM order_lines ORDER BY ALL"
    ).fetchall()


# Encodings

TEXTS = {
    "French": "client,date,montant\nAndré,2024-03-01,5\nBenoît à Besançon,2024-03-02,7\n",
    "German": "Kunde,Datum,Betrag\nMüller,2024-03-01,5\nGröße,2024-03-02,7\n",
    "short": "a,b\né,1\n",
    "typographic": "a,b\n“smart” – €5,1\n",
    "Chinese": "会员编号,下单时间,实付金额\nK1,2024-03-01,￥5\n",
    "Chinese names": "name,city\n张喆,上海\n李堃,北京\n",
    "mostly ASCII": "name,city\n" + "Tom,London\n" * 500 + "张三,上海\n",
}
WESTERN, CHINESE = ("cp1252", "latin-1"), ("gbk", "gb18030")
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("times", [1, 400], ids=["short", "long"])
def test_the_encoding_of_a_text_is_detected(tmp_path: Path, text: str, times: int) -> None:
    header, _, rows = TEXTS[text].partition("\n")
    content, path = f"{header}\n{rows * times}", tmp_path / "file.csv"
    for encoding in UNICODE + (CHINESE if "Chinese" in text or "ASCII" in text else WESTERN):
        try:
            path.write_bytes(content.encode(encoding))
        except UnicodeEncodeError:
            continue
        names, read_rows, format_ = read(path)
        expected = [tuple(line.split(",")) for line in content.splitlines()]
        assert [names, *read_rows] == expected, (encoding, format_)


def test_damaged_bytes_of_a_unicode_file_cost_one_character(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"name,n\n" + "王小明,1\n".encode() * 50 + b"a\xffb,2\n")
    connection = duckdb.connect()
    with open_source(connection, str(path), FileSection()) as source:
        assert source.relation.fetchall()[-1][1:] == ("a\ufffdb", "2")
        assert source.notes == ("1 places are not utf-8; each was read as \ufffd",)


def test_a_stated_encoding_is_used_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes("имя,n\nАнна,1\n".encode("cp1251"))
    assert read(path, encoding="cp1251")[:2] == (("имя", "n"), [("Анна", "1")])
    with pytest.raises(PatronError, match="this is not utf-8 throughout; it looks like"):
        read(path, encoding="utf-8")


# Formats


def workbook(path: Path, rows: list[list[Any]], *, above: int = 0, sheet: str = "Orders") -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        book.add_worksheet("Cover").write(0, 0, "Our orders")
        page = book.add_worksheet(sheet)
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if value is not None:
                    page.write(i + above, j, value)
    return path


def test_cells_of_a_workbook_are_the_values_that_they_show(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        page = book.add_worksheet("Orders")
        page.merge_range(0, 0, 0, 3, "Report of March")
        page.write_row(2, 0, ["who", "day", "no", "paid"])
        page.merge_range(3, 2, 4, 2, 17)
        page.write_row(3, 0, ["ann", datetime.fromisoformat("2024-03-01T10:30")])
        page.write_row(4, 0, [12347.0, datetime.fromisoformat("2024-03-02")])
        page.write_formula(3, 3, "=5*2.5", None, 12.5)
        page.write_boolean(4, 3, True)
    names, rows, format_ = read(path)
    assert names == ("who", "day", "no", "paid")
    assert rows == [("ann", "2024-03-01 10:30:00", "17", "12.5"), ("12347", "2024-03-02", "17", "true")]
    assert format_ == "spreadsheet, sheet 'Orders'"


def test_the_sheet_is_named_or_the_first_that_holds_a_table(tmp_path: Path) -> None:
    path = workbook(tmp_path / "book.xlsx", [["a", "b"], [1, 2]])
    assert read(path)[1] == read(path, sheet="Orders")[1] == [("1", "2")]
    with pytest.raises(PatronError, match="there is no sheet 'Sales'; it has 'Cover', 'Orders'"):
        read(path, sheet="Sales")
    with pytest.raises(PatronError, match="no sheet holds a table"):
        read(path, sheet="Cover")


def test_json_keeps_the_text_of_numbers_and_names_keys_within(tmp_path: Path) -> None:
    path = tmp_path / "orders.ndjson"
    path.write_text(
        '{"id": 12345678901234567890, "paid": 1.50, "who": {"id": "ann"}}\n\n{"id": 2, "gift": true}\n{\n'
    )
    connection = duckdb.connect()
    with open_source(connection, str(path), FileSection()) as source:
        assert source.names == ("id", "paid", "who.id", "gift")
        rows = [row[1:] for row in source.relation.fetchall()]
        assert rows == [("12345678901234567890", "1.50", "ann", None), ("2", None, None, "true")]
        assert source.rejected_lines(connection) == 1


def test_a_table_is_read_of_every_format(tmp_path: Path) -> None:
    rows = [["who", "left"], ["ann", "yes"], ["bob", "no"]]
    text = "\n".join(map(",".join, rows)) + "\n"
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("__MACOSX/._t.csv", "x")
        archive.writestr("folder/t.csv", text.encode("utf-16"))
    workbook(tmp_path / "t.xlsx", rows, above=2)
    (tmp_path / "t.json").write_text(json.dumps([dict(zip(rows[0], row, strict=True)) for row in rows[1:]]))
    pq.write_table(pa.table({"who": ["ann", "bob"], "left": ["yes", "no"]}), tmp_path / "t.parquet")
    with sqlite3.connect(tmp_path / "t.db") as database:
        database.execute("CREATE TABLE people (who TEXT, left TEXT)")
        database.executemany("INSERT INTO people VALUES (?, ?)", rows[1:])
    database.close()
    places = [tmp_path / f"t.{kind}" for kind in ("csv.gz", "zip", "xlsx", "json", "parquet")]
    for place in [*map(str, places), f"sqlite:///{tmp_path / 't.db'}#people"]:
        table = open_table(place)
        assert (table.names, table.values("who")) == (("who", "left"), ["ann", "bob"]), place


# What stands around a table


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("sep=;\na;b\n1;2,5\n", ("a", "b"), [("1", "2,5")]),
        ("Report;;\n\nFrom;2024-01;\na;b;c\n1;2;3\n4;5;6\n", ("a", "b", "c"),
         [("1", "2", "3"), ("4", "5", "6")]),
        ("a,b,,\n1,2,,\n,,,\n3,4,,\n", ("a", "b", "column2", "column3"),
         [("1", "2", None, None), ("3", "4", None, None)]),
        ("a,b,c\n1\n2\n3,4,5\n", ("a", "b", "c"), [("1", None, None), ("2", None, None), ("3", "4", "5")]),
        ("a,A,,a\n1,2,3,4\n", ("a", "A_1", "column2", "a_2"), [("1", "2", "3", "4")]),
        ('a,"b ""x"""\n1,2\n', ("a", 'b "x"'), [("1", "2")]),
        ("a|b\n1|2\n", ("a", "b"), [("1", "2")]),
        (" a  b c\n 1  2 3\n 4 5  6\n", ("a", "b", "c"), [("1", "2", "3"), ("4", "5", "6")]),
    ],
    ids=["sep", "preamble", "blanks", "short rows", "equal names", "quotes", "bars", "whitespace"],
)  # fmt: skip
def test_what_stands_around_a_table_is_not_of_it(
    tmp_path: Path, content: str, names: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)
    assert read(path)[:2] == (names, rows)


def test_of_200_columns_three_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    header = ["customer", "date", "amount", *(f"x{i}" for i in range(197))]
    path.write_text(
        "\n".join(
            [",".join(header), *(f"K{i % 7},2024-03-0{i % 9 + 1},{i}.50" + "," * 197 for i in range(60))]
        )
    )
    text, how = drafted(path)
    assert how.orders is not None
    assert (how.orders.customer, how.orders.time, how.orders.amount) == ("customer", "date", "amount")
    assert "x5" not in text


@given(st.lists(st.text(max_size=8), min_size=1, max_size=8))
def test_names_of_columns_are_different_whatever_the_header(header: list[str]) -> None:
    names = headers.column_names(header, len(header) + 1)
    assert len({name.lower() for name in names}) == len(header) + 1
    assert all(names)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=30))
def test_a_header_never_reaches_sql_unescaped(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        quoted_name = name.replace('"', '""')
        path.write_text(
            f'customer,date,amount,"{quoted_name}"\nK1,2024-03-01,1.50,x\nK2,2024-03-02,2,y\n',
            encoding="utf-8",
        )
        _, how = drafted(path)
        assert how.orders is not None
        assert [row[2] for row in lines(path)] == [Decimal("1.50"), Decimal(2)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("opened", [{3}, {3, 9}, {0, 1, 19}])
@pytest.mark.parametrize("cell", ['"5 inch', '"5 inch, long', '5" pipe'])
def test_a_quote_that_is_not_closed_costs_no_other_row(
    tmp_path: Path, cell: str, opened: set[int], end: str
) -> None:
    path = tmp_path / "file.csv"
    rows = [f"K{i},{i}.50,{cell}" if i in opened else f'K{i},{i}.50,"two{end}lines"' for i in range(20)]
    path.write_text(end.join(["who,paid,item", *rows, ""]), newline="")
    connection = duckdb.connect()
    with open_source(connection, str(path), FileSection()) as source:
        read_ids = {row[1] for row in source.relation.fetchall()}
        torn = source.rejected_lines(connection)
    assert read_ids >= {f"K{i}" for i in range(20) if i not in opened}
    assert len(read_ids) + torn == 20
    if "," not in cell:  # with a comma there is one cell more than there are columns
        assert read_ids >= {f"K{i}" for i in range(19)}


def test_many_quotes_that_are_not_closed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("who,item\n" + 'K1,"5 inch\nK2,x\n' * 45)
    with pytest.raises(PatronError, match="more than 20 lines have a quote that is not closed"):
        read(path)


# What is no table


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("orders.csv", b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "this is an HTML page and not a table"),
        ("orders.csv", b"%PDF-1.7\n", "this is a PDF"),
        ("orders.csv", b" \n", "the file is empty"),
        ("orders.csv", b"a,b\n\x00\x01\x02", "this is not a text file"),
        ("orders.xlsx", b"a,b\n1,2\n", "this is not a workbook"),
        ("orders.xlsx", b"\xd0\xcf\x11\xe0" + bytes(99) + "EncryptedPackage".encode("utf-16-le"),
         "by a password"),
        ("orders.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20], "damaged or cut off"),
        ("orders.zip", b"PK\x03\x04" + bytes(50), "this zip archive is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_a_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PatronError, match=message) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_an_archive_has_one_file_and_a_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MIN_UNPACKED", 1 << 20)
    two, bomb = tmp_path / "two.zip", tmp_path / "bomb.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "a")
        archive.writestr("b.csv", "b")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", bytes(4 << 20))
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(4 << 20)))
    with pytest.raises(PatronError, match=r"exactly one file, and this has 2 \(a.csv, b.csv\)"):
        read(two)
    for path in (bomb, tmp_path / "bomb.csv.gz"):
        with pytest.raises(PatronError, match="unpacks to more than"):
            read(path)


# An order book comes back to the cent

orders = st.lists(
    st.tuples(
        st.sampled_from(["K1", "K2", "Müller", "k4"]),
        st.integers(0, 900 * 24 * 60),  # minutes after 2023-01-01
        st.integers(1, 2_000_000),  # cents
    ),
    min_size=3, max_size=25, unique_by=lambda row: row[1],
)  # fmt: skip
START = datetime.fromisoformat("2023-01-01")
Render = Callable[[Path, list[list[str]], list[tuple[str, datetime, Decimal]]], Path | str]


def money(amount: Decimal, thousands: str, decimal: str) -> str:
    return f"{amount:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def as_text(
    encoding: str, delimiter: str, thousands: str, decimal: str, time: str, above: str = ""
) -> Render:
    def render(folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]) -> Path:
        table = [*header, *([who, f"{at:{time}}", str(n), money(amount, thousands, decimal)]
                            for n, (who, at, amount) in enumerate(rows, start=1))]  # fmt: skip
        content = above + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in table)
        path = folder / "orders.csv"
        path.write_bytes(content.encode(encoding))
        return path

    return render


def as_workbook(folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]) -> Path:
    table = [[who, at, n, float(amount)] for n, (who, at, amount) in enumerate(rows, start=1)]
    return workbook(folder / "orders.xlsx", [*header, *table], above=3)


def as_json_lines(folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]) -> Path:
    path = folder / "orders.json"
    cells = (
        (who, int(at.replace(tzinfo=UTC).timestamp() * 1000), n, float(amount))
        for n, (who, at, amount) in enumerate(rows, start=1)
    )
    path.write_text("\n".join(json.dumps(dict(zip(header[0], row, strict=True))) for row in cells))
    return path


def as_parquet(folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]) -> Path:
    path = folder / "orders.parquet"
    columns = [
        [who for who, _, _ in rows], [at for _, at, _ in rows], [*range(1, len(rows) + 1)],
        pa.array([amount for _, _, amount in rows], pa.decimal128(18, 2)),
    ]  # fmt: skip
    pq.write_table(pa.table(dict(zip(header[0], columns, strict=True))), path)
    return path


def as_database(folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]) -> str:
    names = ", ".join(f'"{name}"' for name in header[0])
    with sqlite3.connect(folder / "orders.db") as database:
        database.execute(f"CREATE TABLE orders ({names})")
        database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(who, f"{at}", n, float(amount)) for n, (who, at, amount) in enumerate(rows, start=1)],
        )
    database.close()
    return f"sqlite:///{folder / 'orders.db'}#orders"


def as_date_and_time(
    folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]
) -> Path:
    path = folder / "orders.csv"
    table = ["sep=;", "customer;order date;order time;order id;amount;;"]
    table += [f"{who};{at:%d.%m.%Y};{at:%H:%M};{n};{money(amount, '', ',')};;"
              for n, (who, at, amount) in enumerate(rows, start=1)]  # fmt: skip
    path.write_bytes("\n".join([*table, ";;;;;;", ""]).encode("utf-8-sig"))
    return path


def as_days_of_a_spreadsheet(
    folder: Path, header: list[list[str]], rows: list[tuple[str, datetime, Decimal]]
) -> Path:
    path = folder / "orders.csv"
    days = [(at - datetime(1899, 12, 30)) / timedelta(days=1) for _, at, _ in rows]  # noqa: DTZ001
    table = [(who, f"{day:.6f}", n, amount)
             for n, ((who, _, amount), day) in enumerate(zip(rows, days, strict=True), start=1)]  # fmt: skip
    path.write_text("\n".join(",".join(map(str, row)) for row in [*header, *table]), encoding="utf-8")
    return path


RENDERINGS: dict[str, Render] = {
    "plain": as_text("utf-8", ",", "", ".", "%Y-%m-%d %H:%M"),
    "German in cp1252": as_text("cp1252", ";", ".", ",", "%d.%m.%Y %H:%M"),
    "German in UTF-16": as_text("utf-16", "\t", ".", ",", "%d.%m.%y %H:%M"),
    "American": as_text("utf-8-sig", ",", ",", ".", "%m/%d/%Y %I:%M %p"),
    "below a title": as_text("latin-1", ";", " ", ",", "%Y-%m-%dT%H:%M:00+0000", "Orders;;;\r\n;;;\r\n"),
    "in GB18030": as_text("gb18030", ",", ",", ".", "%Y/%m/%d %H:%M", "会员订单报表,,,\r\n"),
    "workbook": as_workbook,
    "JSON with epochs": as_json_lines,
    "Parquet": as_parquet,
    "database": as_database,
    "date and time apart": as_date_and_time,
    "days of a spreadsheet": as_days_of_a_spreadsheet,
}


@pytest.mark.parametrize("rendering", RENDERINGS)
@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(book=orders)
def test_an_order_book_in_any_format_comes_back_to_the_cent(
    rendering: str, book: list[tuple[str, int, int]]
) -> None:
    book = [*book, ("K1", 30 * 24 * 60 - 1, 1)]  # a day above 12 tells days from months
    rows = sorted(
        [(who, START + timedelta(minutes=minute), Decimal(cents) / 100) for who, minute, cents in book],
        key=lambda row: row[1],
    )
    header = [["customer", "order date", "order id", "amount"]]
    with tempfile.TemporaryDirectory() as folder:
        path = RENDERINGS[rendering](Path(folder), header, rows)
        assert lines(path) == sorted(rows), drafted(path)[0]
        if isinstance(path, Path):
            pack = _gzipped if len(rows) % 2 else _zipped
            assert len(lines(pack(path))) == len(rows)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_file_without_names_of_columns_is_drafted_by_its_content(tmp_path: Path, kind: str) -> None:
    rows = [
        (
            f"K{n * 7 % 23}",
            f"2024-{1 + n // 28:02}-{1 + n % 28:02}",
            5_000 + n,
            f"item {n % 5}",
            n * 1.25 + 1.1,
        )
        for n in range(150)
    ]
    path = tmp_path / f"orders.{kind}"
    if kind == "csv":
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    else:
        workbook(path, [list(row) for row in rows])
    text, how = drafted(path)
    assert how.file.header is False
    assert how.orders is not None
    roles = (how.orders.customer, how.orders.time, how.orders.order, how.orders.amount)
    assert roles == ("column0", "column1", "column2", "column4")
    assert all("# unsure" in line for line in text.splitlines() if '= "column' in line)
    assert len(lines(path)) == 150


@pytest.mark.parametrize(
    "header",
    ["customer,date,2022,2023", "name,1,2,3", "who,when,paid,2024", "K1,n/a,x,5"],
)
def test_names_of_columns_may_be_numbers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"{header}\nann,2024-03-01,5,7\nbob,2024-03-02,6,8\n")
    assert read(path)[0] == tuple(header.split(","))


def test_a_mapping_decides_whether_there_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("K1,2024-03-01,5\nK2,2024-03-02,7\n")
    assert read(path, header=False)[0] == read(path)[0] == ("column0", "column1", "column2")
    assert read(path, header=True)[0] == ("K1", "2024-03-01", "5")


def _gzipped(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def _zipped(path: Path) -> Path:
    packed = path.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, path.name)
    return packed


def test_every_encoding_that_is_detected_is_one_that_a_mapping_takes() -> None:
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-32", "gb18030", "cp1252", "latin-1"):
        assert FileSection(encoding=encoding).encoding == encoding
