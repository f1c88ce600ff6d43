"""Files that are damaged, dangerous or no tables: clear words, nothing lost, no customer's data."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

import patron
from core.errors import PatronError
from core.home import Home
from events.files import imports, mapping
from events.files.readers import archives

SHOP = '[shop]\ntime_zone = "Europe/Berlin"\ncurrency = "EUR"\n'
ORDERS = '[orders]\ncustomer = "who"\ntime = "day"\norder = "no"\namount = "paid"\n'
ROWS = [("ann@example.com", "2024-03-01", 1, 5.5), ("bob@example.com", "2024-03-02", 2, 7.25)]
HEADER = ("who", "day", "no", "paid")
TEXT = "".join(",".join(map(str, row)) + "\n" for row in (HEADER, *ROWS))
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process: its exit code, and what it printed to both channels."""
    monkeypatch.setenv("PATRON_HOME", str(tmp_path / "home"))

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["patron", *map(str, words)])
        code = patron.main()
        output = capsys.readouterr()
        return code, output.out, output.err

    return command


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(SHOP + ORDERS)
    return path


def packed(name: str, content: bytes) -> bytes:
    """A zip archive of one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def understated(archive: bytes, size: int) -> bytes:
    """A zip archive of one file that says a smaller size than the file has."""
    changed = bytearray(archive)
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = changed.index(signature) + offset
        changed[start : start + 4] = size.to_bytes(4, "little")
    return bytes(changed)


BOMB = bytes(8 << 20)
FILES = {
    "a bomb": ("o.zip", packed("o.csv", BOMB), "this unpacks to more than"),
    "a bomb of gzip": ("o.csv.gz", gzip.compress(BOMB), "this unpacks to more than"),
    "a bomb that lies": ("o.zip", understated(packed("o.csv", BOMB), 9), "damaged"),
    "a bomb in an archive": ("o.zip", packed("i.zip", packed("o.csv", BOMB)), "this unpacks to more than"),
    "a workbook that is a bomb": (
        "o.xlsx", packed("[Content_Types].xml", BOMB), "this unpacks to more than"
    ),
    "archives without end": (
        "o.zip", packed("c.zip", packed("b.zip", packed("a.zip", packed("o.csv", TEXT.encode())))),
        "an archive within an archive",
    ),
    "a page": ("o.csv", b"<html><body>Log in, ann@example.com</body></html>", "this is an HTML page"),
    "a page in an archive": ("o.zip", packed("o.csv", b"<!doctype html>"), "o.zip: o.csv: this is an HTML"),
    "a page as .xls": ("o.xls", b"<table><tr><td>ann@example.com", "this is an HTML page"),
    "noise": ("o.csv", bytes(range(256)) * 9, "this is not a text file"),
    "half a Parquet file": ("o.parquet", b"PAR1" + bytes(99), "damaged"),
    "no JSON": ("o.json", b'[{"who": "ann@example.com"', "this JSON is damaged or cut off"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_in_a_line_and_nothing_changes(
    tmp_path: Path, run: Run, own: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archives, "MIN_UNPACKED", 1 << 20)
    file, content, words = FILES[name]
    path = tmp_path / file
    path.write_bytes(content)
    for command in (
        ("import", path, "--inspect"),
        ("import", path, "--as", own),
        ("train", "--table", path, "--target", "paid"),
    ):
        code, out, err = run(*command)
        assert (code, out, len(err.splitlines())) == (1, "", 1), command
        assert err.startswith(f"patron: {path}")
        assert words in err
        assert "ann@example.com" not in err
        assert "patron-reading" not in err
    assert not (tmp_path / "home").exists()


def test_formulas_count_as_their_saved_results_and_those_without_are_named(
    tmp_path: Path, run: Run, own: Path
) -> None:
    path = tmp_path / "orders.xlsx"
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("Orders")
        page.write_row(0, 0, HEADER)
        for i, row in enumerate(ROWS * 2, start=1):
            page.write_row(i, 0, row)
        page.write_formula(2, 3, "=5+2.25", None, 7.25)
        page.write_formula(3, 3, "=A1+B1", None, "")
        page.write_formula(4, 3, "=1/0", None, "#DIV/0!")
    code, out, _ = run("import", path, "--as", own)
    assert code == 0
    assert "1 formulas have no saved result and were read as blank" in out
    assert "1 cells show an error such as #REF!" in out
    assert "rejected           2  unreadable" in out
    assert "12.75" in out


def test_merged_cells_count_in_each_of_their_rows(tmp_path: Path, run: Run, own: Path) -> None:
    path = tmp_path / "orders.xlsx"
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("Orders")
        page.merge_range(0, 0, 0, 3, "Orders of March")
        page.write_row(1, 0, HEADER)
        page.merge_range(2, 0, 3, 0, "ann@example.com")
        page.write_row(2, 1, ("2024-03-01", 1, 5))
        page.write_row(3, 1, ("2024-03-01", 1, 7))
    code, out, _ = run("import", path, "--as", own, "--json")
    done = json.loads(out)
    assert (code, done["kept"], done["set_aside"]) == (0, {"order_lines": 2, "refunds": 0}, {})


@pytest.mark.parametrize(
    "roles",
    [
        'customer = "who"\ntime = "day"\norder = "who"\namount = "paid"\n',
        'customer = "who"\ntime = "day"\nquantity = "paid"\nunit_price = "paid"\n',
        'customer = "who"\ntime = "who"\namount = "paid"\n',
    ],
)
def test_two_roles_of_one_column_are_refused(tmp_path: Path, run: Run, roles: str) -> None:
    own, path = tmp_path / "own.toml", tmp_path / "orders.csv"
    own.write_text(f"{SHOP}[orders]\n{roles}")
    path.write_text(TEXT)
    code, _, err = run("import", path, "--as", own)
    assert code == 1
    assert "is named by" in err
    assert "it can be only one" in err


HOSTILE = (
    'x"), (SELECT content FROM read_text(\'/etc/hostname\')) AS ("y', "'; DROP TABLE raw; --", "a\nb", '"""',
    "]", "{x}", "%s", "column0",
)  # fmt: skip


def as_csv(path: Path, rows: list[tuple[object, ...]]) -> str:
    quoted = (",".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in rows)
    path.with_suffix(".csv").write_text("\n".join(quoted) + "\n", encoding="utf-8")
    return str(path.with_suffix(".csv"))


def as_workbook(path: Path, rows: list[tuple[object, ...]]) -> str:
    with xlsxwriter.Workbook(path.with_suffix(".xlsx")) as book:
        page = book.add_worksheet('O\'Brien "1"')
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                page.write(i, j, cell)
    return str(path.with_suffix(".xlsx"))


def as_json(path: Path, rows: list[tuple[object, ...]]) -> str:
    objects = (json.dumps(dict(zip(map(str, rows[0]), row, strict=True))) for row in rows[1:])
    path.with_suffix(".ndjson").write_text("\n".join(objects))
    return str(path.with_suffix(".ndjson"))


def as_parquet(path: Path, rows: list[tuple[object, ...]]) -> str:
    columns = zip(*rows[1:], strict=True)
    pq.write_table(
        pa.table(dict(zip(map(str, rows[0]), map(list, columns), strict=True))), path.with_suffix(".parquet")
    )
    return str(path.with_suffix(".parquet"))


def as_database(path: Path, rows: list[tuple[object, ...]]) -> str:
    names = ", ".join('"' + str(name).replace('"', '""') + '"' for name in rows[0])
    with sqlite3.connect(path.with_suffix(".db")) as database:
        database.execute(f'CREATE TABLE "sales; --" ({names})')
        database.executemany(f'INSERT INTO "sales; --" VALUES ({", ".join("?" * len(rows[0]))})', rows[1:])
    database.close()
    return f"sqlite:///{path.with_suffix('.db')}#sales; --"


def test_a_databases_table_is_named_in_one_argument_or_two(tmp_path: Path, run: Run, own: Path) -> None:
    place = as_database(tmp_path / "orders", [HEADER, *ROWS])
    url, _, table = place.partition("#")
    for words in ((place,), (url, "--table", table), ("--table", place)):
        code, out, _ = run("import", *words, "--inspect")
        assert code == 0
        assert 'customer = "who"' in out
        assert str(tmp_path) not in out
        code, out, _ = run("import", *words, "--as", own, "--json", "--replace")
        assert (code, json.loads(out)["file"]) == (0, table)
    code, _, err = run("import", url, "--as", own)
    assert (code, "name the database's table with --table, or after the URL as URL#TABLE" in err) == (1, True)


@pytest.mark.parametrize("render", [as_csv, as_workbook, as_json, as_parquet, as_database])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_columns_never_reach_sql_in_any_format(
    tmp_path: Path, render: Callable[[Path, list[tuple[object, ...]]], str], name: str
) -> None:
    rows = [("who", "day", "no", name), *ROWS]
    place = render(tmp_path / "orders", rows)
    how = mapping.Mapping.model_validate(tomllib.loads(imports.inspect_file(place)))
    assert how.orders is not None
    assert (how.orders.customer, how.orders.time) == ("who", "day")
    text = SHOP + ORDERS.replace('"paid"', json.dumps(name))
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    done = imports.import_file(Home(tmp_path / "home"), place, str(tmp_path / "own.toml"))
    assert (done["kept"]["order_lines"], done["months"][0]["net"]) == (2, 12.75)


def test_no_customer_is_named_by_an_error_or_a_log(
    tmp_path: Path, run: Run, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "orders.csv"
    swapped = own.read_text().replace('"day"', '"x"').replace('"who"', '"day"').replace('"x"', '"who"')
    for text, how in (
        (TEXT, swapped),
        (TEXT.replace("2024-", "the "), own.read_text()),
        (TEXT.replace("5.5", "five").replace("7.25", "ann@example.com"), own.read_text()),
        (TEXT, own.read_text() + 'time_formats = ["%Q"]\n'),
    ):
        path.write_text(text)
        own.write_text(how)
        code, out, err = run("import", path, "--as", own)
        assert code == 1
        assert "example.com" not in out + err + caplog.text
    assert not (tmp_path / "home").exists()


def test_a_file_that_cannot_be_read_leaves_the_shop_as_it_is(tmp_path: Path, own: Path) -> None:
    home, good = Home(tmp_path / "home"), tmp_path / "orders.csv"
    good.write_text(TEXT)
    imports.import_file(home, str(good), str(own))
    before = (home.events / "import.json").read_bytes()
    (tmp_path / "bad.csv").write_bytes(b"<html>")
    with pytest.raises(PatronError, match="HTML"):
        imports.import_file(home, str(tmp_path / "bad.csv"), str(own))
    assert (home.events / "import.json").read_bytes() == before
