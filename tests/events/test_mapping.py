"""Own data: mappings by hand, drafts of them, files of every make, and files that overlap."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PatronError
from core.home import Home
from core.storage.sql import with_driver
from events import lake
from events.files import imports, mapping, rejected_rows
from events.identity import Identity

CDNOW_FILE = Path(__file__).parents[3] / "shared" / "data" / "cdnow" / "CDNOW_master.txt"
SHOP = '[shop]\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\n'
ORDERS = '[orders]\ncustomer = "who"\ntime = "day"\norder = "no"\nproduct = "sku"\namount = "paid"\n'
HEADER = "who,day,no,sku,paid"
ROWS = (
    "ann,2024-03-01 10:00,1,tea,12.50",
    "ann,2024-03-01 10:00,1,cup,8",
    "bob,2024-07-02 23:30,2,tea,12.50",
    "ann,2024-07-09 08:00,3,tea,-12.50",
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def toml(folder: Path, text: str = SHOP + ORDERS, name: str = "own.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def csv(folder: Path, *rows: str, header: str = HEADER, name: str = "orders.csv", **how: Any) -> str:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", **({"encoding": "utf-8"} | how))
    return str(path)


def events(home: Home, name: str = "order_lines") -> list[dict[str, Any]]:
    """A table's events with the customers' own ids in place of their keys, sorted."""
    ids = Identity(home).table()
    names = dict(zip(ids["customer_key"].to_pylist(), ids["customer_id"].to_pylist(), strict=True))
    backend = lake.connect()
    table = dict(lake.read(home, backend).items())[name]
    rows = [
        {"customer": names[row.pop("customer_key")]} | row for row in backend.to_pyarrow(table).to_pylist()
    ]
    return sorted(rows, key=lambda row: str(list(row.values())))


def contents(home: Home) -> dict[str, bytes]:
    return {str(p.relative_to(home.path)): p.read_bytes() for p in home.path.rglob("*") if p.is_file()}


def generation(home: Home) -> str:
    return str(lake.metadata(home).generation)


def amounts(home: Home) -> list[tuple[str, float]]:
    return [(row["customer"], float(row["amount"])) for row in events(home)]


# The sources that come with Patron are mappings like any other


def test_a_line_of_ones_own_becomes_an_event(home: Home, tmp_path: Path):
    done = imports.import_file(home, csv(tmp_path, *ROWS), toml(tmp_path))
    assert (done["read"], done["kept"]) == (4, {"order_lines": 3, "refunds": 1})
    assert (home.shop().time_zone, home.shop().currency, home.shop().source) == (
        "Europe/Paris", "EUR", "mapping",
    )  # fmt: skip
    line = next(row for row in events(home) if row["customer"] == "bob")
    given_value = ("order_id", "product_id", "quantity", "category")
    assert [line[name] for name in given_value] == ["2", "tea", 1, None]
    assert line["timestamp"] == line["received_at"] == datetime.fromisoformat("2024-07-02T21:30")
    assert line["day"] == (date(2024, 7, 2) - date(1970, 1, 1)).days
    (refund,) = events(home, "refunds")
    assert (refund["order_id"], refund["matched"], float(refund["amount"])) == ("1", True, 12.5)


CDNOW_ROWS = (
    " 00001 19970101  1   11.77",
    " 00002 19970112  1   12.00",
    " 00002 19970112  5   77.00",
    " 00002 19970112  5   77.00",
    " 00003 19970102  2    0.00",
)


def test_cdnow_by_hand(tmp_path: Path):
    path = csv(tmp_path, *CDNOW_ROWS, header=" customer_id  date number_of_cds  dollar_value", name="c.txt")
    by_hand = toml(
        tmp_path,
        '[shop]\ntime_zone = "America/New_York"\ncurrency = "USD"\n[file]\ndelimiter = "whitespace"\n'
        '[orders]\ncustomer = "customer_id"\ntime = "date"\ntime_formats = ["%Y%m%d"]\n'
        'quantity = "number_of_cds"\namount = "dollar_value"\n'
        'identical_lines = "all"\nfree_lines = "keep"\n',
    )
    homes = [Home(tmp_path / name) for name in ("a", "b")]
    done = imports.import_file(homes[0], path, "cdnow")
    imports.import_file(homes[1], path, by_hand)
    assert (done["kept"]["order_lines"], done["set_aside"], done["orders"]) == (5, {}, 3)
    assert events(homes[0]) == events(homes[1])
    assert generation(homes[0]) == generation(homes[1])
    assert Counter(amounts(homes[0]))["00002", 77.0] == 2
    moment = datetime.fromisoformat("1997-01-01T05:00")
    assert events(homes[0])[0] | {"timestamp": moment, "quantity": 1} == events(homes[0])[0]


@pytest.mark.slow
def test_the_real_cdnow_is_accounted_for_and_the_same_as_csv(home: Home, tmp_path: Path):
    if not CDNOW_FILE.is_file():
        pytest.skip("the CDNOW file is not in ../shared/data/cdnow")
    done = imports.import_file(home, str(CDNOW_FILE), "cdnow")
    assert done["read"] == done["kept"]["order_lines"] == 69_659
    assert len(Identity(home).table()) == 23_570
    lines = [line.split() for line in CDNOW_FILE.read_text().splitlines() if line.strip()]
    assert sum(float(row["amount"]) for row in events(home)) == pytest.approx(
        sum(float(line[3]) for line in lines[1:])
    )
    path = csv(tmp_path, *(";".join(line) for line in lines[1:]), header=";".join(lines[0]))
    text = mapping.text("cdnow").replace('delimiter = "whitespace"', 'delimiter = ";"')
    other = Home(tmp_path / "other")
    imports.import_file(other, path, toml(tmp_path, text))
    assert generation(other) == generation(home)


RETAIL_SHORT = (
    '[shop]\ntime_zone = "Europe/London"\ncurrency = "GBP"\n'
    '[orders]\ncustomer = "CustomerID"\ntime = "InvoiceDate"\norder = "InvoiceNo"\nproduct = "StockCode"\n'
    'quantity = "Quantity"\nunit_price = "UnitPrice"\n'
    'returns = { column = "InvoiceNo", starts_with = "C" }\ntraits = { country = "Country" }\n'
)


def test_online_retail_by_hand(tmp_path: Path, small_retail: Callable[..., Path]):
    at = datetime.fromisoformat
    path = small_retail(
        [
            ("1", "A", 3, at("2010-07-01T12:00"), 2.5, 17001),
            ("1", "A", 3, at("2010-07-01T12:00"), 2.5, 17001),
            ("C2", "A", -1, at("2010-07-02T12:00"), 2.5, 17001),
            ("3", "M", 1, at("2010-07-02T12:00"), 2.5, 17002),
            ("4", "B1", 1, at("2010-07-02T12:00"), 2.5, None),
        ]
    )
    words = '[orders.category_words]\ncolumn = "Description"\nwords = { decoration = "HEART" }\n'
    aside = '[orders.adjustments]\ncolumn = "StockCode"\none_of = ["M"]\n'
    homes = [Home(tmp_path / name) for name in ("a", "b")]
    imports.import_file(homes[0], str(path), "online-retail")
    imports.import_file(homes[1], str(path), toml(tmp_path, RETAIL_SHORT + words + aside))
    for name in ("order_lines", "refunds", "traits"):
        assert events(homes[0], name) == events(homes[1], name)
    given_value = [lake.metadata(home).record["set_aside"] for home in homes]
    assert given_value[0] == given_value[1] == {"adjustment": 1, "duplicate": 1, "no_customer": 1}


@pytest.mark.slow
def test_the_real_online_retail_is_the_same_as_csv_in_two_overlapping_parts(
    retail_file: Path, tmp_path: Path
):
    whole, parts = Home(tmp_path / "whole"), Home(tmp_path / "parts")
    con = lake.connect().con
    year = f"(FROM '{retail_file}' WHERE InvoiceDate < '2010-07-01')"
    con.execute(f"COPY {year} TO '{tmp_path / 'whole.parquet'}'")
    imports.import_file(whole, str(tmp_path / "whole.parquet"), "online-retail")
    for name, where in (("late", ">= '2010-03-01'"), ("early", "< '2010-05-01'")):
        path = tmp_path / f"{name}.csv"
        con.execute(f"COPY (FROM {year} WHERE InvoiceDate {where}) TO '{path}' (DELIMITER ';', HEADER)")
        imports.import_file(parts, str(path), "online-retail")
    assert generation(parts) == generation(whole)
    assert (
        lake.metadata(parts).record["refunds_unmatched"] == lake.metadata(whole).record["refunds_unmatched"]
    )


# Drafts

CLEAN = (
    "customer_id,order_date,order_id,sku,quantity,amount,currency\n"
    "c1,2024-03-01 10:00:00,1,tea,1,12.50,EUR\n"
    "c2,2024-03-02 11:00:00,2,cup,2,8.00,EUR\n"
    "c1,2024-04-05 12:00:00,3,tea,1,12.50,EUR\n"
)
COMMA = (
    "Vermerk;Customer;Order date;Amount\n"
    "x;c1;01.03.2024;1.012,50\n"
    "x;c2;22.03.2024;8,00\n"
    "x;c1;05.04.2024;12,50\n"
)
LATIN = "customer,date,product,amount\nAndré,2024-03-01,thé,12.50\nbob,2024-03-02,tasse,8.00\n"
MIXED = (
    "customer,date,amount\n"
    "c1,2024-03-01,12.50\n"
    "c2,14/03/2024,8.00\n"
    "c1,2024-04-05,12.50\n"
)  # fmt: skip
TWO_CURRENCIES = (
    "customer,date,amount,currency\n"
    "c1,2024-03-01,12.50,EUR\nc2,2024-03-02,9.00,USD\nc1,2024-04-05,12.50,EUR\n"
)
BLANKS = "customer,date,amount\nc1,2024-03-01,12.50\n,2024-03-02,8.00\nc2,2024-03-04,3.00\n"
CHINESE = "客户,日期,金额\n张三,2024年03月01日,12.50\n李四,2024年03月02日,8.00\n"
PEOPLE = "customer_id,signup_date,country,city\nc1,2024-01-01,France,Paris\nc2,2024-02-01,Italy,Rome\n"

GERMAN = (
    "Kunde;Beleg;Datum;Artikel;Warengruppe;Menge;Preis\n"
    "c1;b1;01.03.2024;a1;Tee;1;12,50\n"
    "c2;b2;02.03.2024;a2;Tee;2;4,00\n"
)
DRAFTS: dict[str, tuple[bytes, list[str], list[tuple[str, float]]]] = {
    "clean": (
        CLEAN.encode(),
        ['customer = "customer_id"', 'time = "order_date"', 'order = "order_id"', 'product = "sku"',
         'quantity = "quantity"', 'currency = "EUR"'],
        [("c1", 12.5), ("c1", 12.5), ("c2", 8.0)],
    ),
    "decimal comma": (
        COMMA.encode(),
        ['decimal = ","', 'thousands = "."', 'time_formats = ["%d.%m.%Y"]', "# not mapped: Vermerk"],
        [("c1", 12.5), ("c1", 1012.5), ("c2", 8.0)],
    ),
    "German": (
        GERMAN.encode(),
        ['customer = "Kunde"', 'order = "Beleg"', 'category = "Warengruppe"', 'unit_price = "Preis"'],
        [("c1", 12.5), ("c2", 8.0)],
    ),
    "Latin-1": (LATIN.encode("latin-1"), ['encoding = "latin-1"'], [("André", 12.5), ("bob", 8.0)]),
    "byte order mark": (
        CLEAN.encode("utf-8-sig"),
        ['customer = "customer_id"'],
        [("c1", 12.5), ("c1", 12.5), ("c2", 8.0)],
    ),
    "mixed dates": (
        MIXED.encode(),
        ["# unsure: times are written in several ways"],
        [("c1", 12.5), ("c1", 12.5), ("c2", 8.0)],
    ),
    "two currencies": (
        TWO_CURRENCIES.encode(),
        ['currency = "EUR"   # unsure: rows in USD will be set aside'],
        [("c1", 12.5), ("c1", 12.5)],
    ),
    "blank customers": (
        BLANKS.encode(),
        ['customer = "customer"   # unsure: 33% of its rows are blank'],
        [("c1", 12.5), ("c2", 3.0)],
    ),
    "Chinese": (
        CHINESE.encode(),
        ['customer = "客户"', 'time = "日期"', 'amount = "金额"'],
        [("张三", 12.5), ("李四", 8.0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAFTS)
def test_a_draft_can_be_imported_as_it_is(home: Home, tmp_path: Path, kind: str):
    content, says, expected = DRAFTS[kind]
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    drafted = imports.inspect_file(path)
    for part in says:
        assert part in drafted
    assert 'time_zone = "UTC"   # unsure' in drafted
    imports.import_file(home, str(path), toml(tmp_path, drafted))
    assert sorted(amounts(home)) == sorted(expected)


def test_a_clean_file_leaves_little_unsure(tmp_path: Path):
    path = tmp_path / "orders.csv"
    path.write_text(CLEAN)
    unsure = [line for line in imports.inspect_file(path).splitlines() if "# unsure" in line]
    assert [line.split(" ")[0] for line in unsure] == ["time_zone", "amount"]


def test_a_draft_of_a_parquet_file(home: Home, tmp_path: Path):
    path = tmp_path / "orders.parquet"
    moments = [datetime(2024, 3, 1, 10, tzinfo=UTC), datetime(2024, 3, 2, 23, 30, tzinfo=UTC)]
    pq.write_table(
        pa.table({"customer_id": [12347.0, 12348.0], "ordered_at": moments, "total": [12.5, 8.0]}), path
    )
    drafted = imports.inspect_file(path)
    imports.import_file(home, str(path), toml(tmp_path, drafted))
    assert amounts(home) == [("12347", 12.5), ("12348", 8.0)]
    assert [row["timestamp"] for row in events(home)] == [m.replace(tzinfo=None) for m in moments]


def test_a_draft_of_customers_adds_what_is_known_of_them(home: Home, tmp_path: Path):
    orders, people = tmp_path / "orders.csv", tmp_path / "people.csv"
    orders.write_text(CLEAN)
    people.write_text(PEOPLE)
    drafted = imports.inspect_file(people).replace('currency = "EUR"   # unsure', 'currency = "EUR"   # sure')
    assert "this is read as a list of customers" in drafted
    assert 'traits = { country = "country", city = "city" }' in drafted
    own = toml(tmp_path, drafted, "people.toml")
    imports.import_file(home, str(orders), toml(tmp_path, imports.inspect_file(orders)))
    done = imports.import_file(home, str(people), own)
    assert (done["kept"], done["changed"]) == ({"customers": 2}, True)
    given_value = [(row["customer"], row["name"], row["value"]) for row in events(home, "traits")]
    assert sorted(given_value) == [
        ("c1", "city", "Paris"), ("c1", "country", "France"),
        ("c2", "city", "Rome"), ("c2", "country", "Italy"),
    ]  # fmt: skip
    assert len(events(home)) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n", "# No column looks like a customer or a time."),
        ("customer,b\n1,2\n", '# customer = "customer"\n# time = "..."'),
    ],
)
def test_what_cannot_be_drafted_is_a_skeleton(tmp_path: Path, content: str, says: str):
    path = tmp_path / "orders.csv"
    path.write_text(content)
    drafted = imports.inspect_file(path)
    assert says in drafted
    assert "patron train --table orders.csv" in drafted
    assert any(
        line.split()[1:] == ["b", "whole", "numbers", "100%", "1", "2"] for line in drafted.splitlines()
    )


# Bad mappings

BAD = {
    "a missing column": (
        SHOP + ORDERS.replace('"paid"', '"price"'),
        "there is no column price; it has who, day, no, sku, paid",
    ),
    "an unknown setting": (SHOP + ORDERS + 'amout = "paid"\n', "orders.amout: there is no such setting"),
    "no amount": (
        SHOP + ORDERS.replace('amount = "paid"\n', ""),
        "name an amount column, or a quantity and a unit_price column",
    ),
    "no time": (SHOP + ORDERS.replace('time = "day"\n', ""), "orders.time: this is missing"),
    "no shop": (ORDERS, "shop: this is missing"),
    "nothing": (SHOP, r"have one of the sections \[orders\], \[customers\] and \[activities\]"),
    "no TOML": ("who: ann\n", "this is not a TOML file"),
    "an unknown zone": (
        SHOP.replace("Europe/Paris", "Europe/Pari") + ORDERS,
        "'Europe/Pari' is no time zone; use a name such as Europe/London",
    ),
    "an unknown time format": (
        SHOP + ORDERS.replace('time = "day"\n', 'time = "day"\ntime_formats = ["%Q"]\n'),
        "cannot be read by this mapping",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mapping_is_said_in_a_line_and_an_existing_shop_stays(home: Home, tmp_path: Path, kind: str):
    imports.import_file(home, csv(tmp_path, *ROWS), toml(tmp_path))
    before = contents(home)
    text, says = BAD[kind]
    other = csv(tmp_path, *ROWS[:2], name="other.csv")
    with pytest.raises(PatronError, match=says) as caught:
        imports.import_file(home, other, toml(tmp_path, text, "bad.toml"))
    assert "\n" not in str(caught.value)
    assert contents(home) == before


def test_an_unknown_mapping_is_named(home: Home, tmp_path: Path):
    with pytest.raises(PatronError, match=r"neither such a source \(cdnow, online-retail\) nor such a"):
        imports.import_file(home, csv(tmp_path, *ROWS), "shopify")
    assert not home.path.exists()


# Files of every make


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("12.50", 12.5), (" 12.50 ", 12.5), ("€12.50", 12.5), ("12.50 €", 12.5), ("EUR 12.50", 12.5),
        ("(12.50)", -12.5), ("12.50-", -12.5),
        ("1,200.50", 1200.5), ("1.200,50", 1200.5), ("12.50\u00a0€", 12.5), ("1e2", 100.0),
    ],
)  # fmt: skip
def test_numbers_with_currency_signs_are_read(home: Home, tmp_path: Path, written: str, amount: float):
    imports.import_file(home, csv(tmp_path, ROWS[0], f'ann,2024-03-01,2,cup,"{written}"'), toml(tmp_path))
    rows = [row for name in ("order_lines", "refunds") for row in events(home, name)]
    assert float(next(row["amount"] for row in rows if row["product_id"] == "cup")) == abs(amount)
    assert len(events(home, "refunds")) == (amount < 0)


@pytest.mark.parametrize("written", ["twelve", "12.5.0", "", "nan", "inf", "12,50"])
def test_numbers_that_cannot_be_read_are_set_aside(home: Home, tmp_path: Path, written: str):
    rows = (ROWS[0], f'ann,2024-03-01,1,tea,"{written}"')
    done = imports.import_file(home, csv(tmp_path, *rows), toml(tmp_path))
    assert (done["read"], done["set_aside"]) == (2, {"unreadable": 1})


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-07-01 12:00", "2024-07-01T10:00"),
        ("2024-07-01T12:00:00Z", "2024-07-01T12:00"),
        ("2024-07-01 12:00:00+00", "2024-07-01T12:00"),
        ("2024-07-01 12:00:00 UTC", "2024-07-01T12:00"),
        ("2024-07-01T12:00:00.250+08:00", "2024-07-01T04:00:00.250"),
        ("2024-07-01 12:00:00-0330", "2024-07-01T15:30"),
    ],
)
def test_times_with_a_zone_are_taken_as_they_say(home: Home, tmp_path: Path, written: str, utc: str):
    imports.import_file(home, csv(tmp_path, f"ann,{written},1,tea,1"), toml(tmp_path))
    assert events(home)[0]["timestamp"] == datetime.fromisoformat(utc)


def test_time_formats_are_tried_in_turn(home: Home, tmp_path: Path):
    formats = 'time_formats = ["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S%z"]\n'
    rows = [
        f"ann,{day},1,tea{i},1"
        for i, day in enumerate(("03/02/2024", "03/22/2024", "2024-07-01T12:00:00+0000"))
    ]
    imports.import_file(home, csv(tmp_path, *rows), toml(tmp_path, SHOP + ORDERS + formats))
    result = sorted(row["timestamp"].isoformat() for row in events(home))
    assert result == ["2024-02-02T23:00:00", "2024-03-21T23:00:00", "2024-07-01T12:00:00"]


def test_ids_that_a_spreadsheet_made_numbers_are_the_same_ids(home: Home, tmp_path: Path):
    imports.import_file(home, csv(tmp_path, "12347.0,2024-03-01,1.0,tea,1"), toml(tmp_path))
    done = imports.import_file(home, csv(tmp_path, "12347,2024-03-01,1,tea,1", name="b.csv"), toml(tmp_path))
    assert done["changed"] is False
    assert amounts(home) == [("12347", 1.0)]


def test_columns_named_like_what_is_read_of_them(home: Home, tmp_path: Path):
    names = {
        "who": "customer_id",
        "day": "timestamp",
        "no": "order_id",
        "sku": "product_id",
        "paid": "Amount",
    }
    header, orders = HEADER, ORDERS
    for old, new in names.items():
        header, orders = header.replace(old, new), orders.replace(f'"{old}"', f'"{new}"')
    orders += 'quantity = "quantity"\ndiscount = "discount"\nreceived_at = "received_at"\n'
    header += ",quantity,discount,received_at,row_number,reason"
    row = 'ann ,2024-03-01,1,tea,"€ 2.50",2.0,0.5,2024-03-02,9,none'
    done = imports.import_file(home, csv(tmp_path, row, header=header), toml(tmp_path, SHOP + orders))
    assert done["notes"] == {"columns_ignored": 2}
    (line,) = events(home)
    assert (line["customer"], line["quantity"], str(line["amount"]), str(line["discount"])) == (
        "ann", 2, "2.5000", "0.5000",
    )  # fmt: skip
    assert line["received_at"] == datetime.fromisoformat("2024-03-01T23:00")


def test_torn_lines_are_set_aside_with_their_number(home: Home, tmp_path: Path):
    rows = [*ROWS, "ann,2024-03-05,4,tea,12,50", *ROWS[:1], "cut"]
    done = imports.import_file(home, csv(tmp_path, *rows), toml(tmp_path))
    assert (done["read"], done["set_aside"]) == (7, {"unreadable": 2, "duplicate": 1})
    columns, listed = rejected_rows.report(home)
    assert columns[:2] == ["row_number", "reason"]
    assert [row[0] for row in listed if row[1] == "unreadable"] == [6, 8]  # the header is line 1


def test_rows_without_a_customer_are_an_error_and_an_existing_shop_stays(home: Home, tmp_path: Path):
    imports.import_file(home, csv(tmp_path, *ROWS), toml(tmp_path))
    before = contents(home)
    blank = csv(tmp_path, *(row.replace("ann", "").replace("bob", " ") for row in ROWS), name="blank.csv")
    with pytest.raises(PatronError, match=r"none of its 4 rows can be used \(no customer: 4\)"):
        imports.import_file(home, blank, toml(tmp_path))
    with pytest.raises(PatronError, match="no customer: 4"):
        imports.import_file(home, blank, toml(tmp_path), replace=True)
    assert contents(home) == before


def test_another_currency_is_set_aside(home: Home, tmp_path: Path):
    rows = [f"{row},{code}" for row, code in zip(ROWS, ("EUR", "usd", " eur ", ""), strict=True)]
    own = toml(tmp_path, SHOP + ORDERS + 'currency = "cur"\n')
    done = imports.import_file(home, csv(tmp_path, *rows, header=HEADER + ",cur"), own)
    assert done["set_aside"] == {"other_currency": 2}
    assert amounts(home) == [("ann", 12.5), ("bob", 12.5)]


def test_a_wrong_encoding_is_named(home: Home, tmp_path: Path):
    path = csv(tmp_path, *ROWS, "André,2024-03-01,9,tea,1", encoding="latin-1")
    own = toml(tmp_path, SHOP + '[file]\nencoding = "utf-8"\n' + ORDERS)
    with pytest.raises(PatronError, match="this is not utf-8 throughout; it looks like latin-1"):
        imports.import_file(home, path, own)
    done = imports.import_file(home, path, toml(tmp_path))
    assert done["format"] == "text in latin-1, cells separated by ,"
    assert done["readings"] == ["the file was read as latin-1"]
    assert ("André", 1.0) in amounts(home)


# Databases


def database(folder: Path, rows: Sequence[str] = ROWS) -> str:
    path = folder / "shop.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE sales (who TEXT, day TEXT, no INTEGER, sku TEXT, paid REAL)")
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?)", [row.split(",") for row in rows])
        connection.execute("CREATE TABLE unsold AS SELECT * FROM sales LIMIT 0")
    connection.close()
    return f"sqlite:///{path}"


def test_a_table_of_another_schema_of_postgresql_is_read(
    home: Home, tmp_path: Path, postgres_address: str
) -> None:
    engine = sa.create_engine(with_driver(postgres_address))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA shop")
        for table in ('shop."Sales"', '"shop.Sales"'):
            connection.exec_driver_sql(
                f"CREATE TABLE {table} (who text, day timestamp, no int, sku text, paid numeric(9, 2))"
            )
        for row in ROWS:
            connection.exec_driver_sql(
                'INSERT INTO shop."Sales" VALUES (%s, %s, %s, %s, %s)', tuple(row.split(","))
            )
    assert postgres_address.startswith("postgresql://")
    own = toml(tmp_path)
    with pytest.raises(PatronError, match="is empty"):  # a table with a dot in its name comes first
        imports.import_file(home, f"{postgres_address}#shop.Sales", own)
    with engine.begin() as connection:
        connection.exec_driver_sql('DROP TABLE "shop.Sales"')
    engine.dispose()
    assert imports.import_file(home, f"{postgres_address}#shop.Sales", own)["read"] == 4
    other = Home(tmp_path / "other")
    imports.import_file(other, csv(tmp_path, *ROWS), own)
    assert generation(home) == generation(other)


def test_a_databases_table_gives_the_events_of_its_csv(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("events.files.readers.source.CHUNK_ROWS", 2)  # several chunks
    url, own = database(tmp_path), toml(tmp_path)
    done = imports.import_file(home, url, own, table="sales")
    assert (done["read"], done["file"]) == (4, "sales")
    other = Home(tmp_path / "other")
    imports.import_file(other, csv(tmp_path, *ROWS), own)
    assert generation(home) == generation(other)
    assert imports.import_file(home, url, own, table="sales")["changed"] is False
    done = imports.import_file(home, f"{url}#sales", own)
    assert (done["changed"], done["file"]) == (False, "sales")
    assert str(tmp_path) not in (home.events / "import.json").read_text()


def test_numbers_of_a_database_stay_what_they_are_beside_empty_ones(home: Home, tmp_path: Path):
    url = database(tmp_path)
    connection = sqlite3.connect(tmp_path / "shop.db")
    with connection:
        connection.execute("INSERT INTO sales VALUES ('cat', '2024-03-01', NULL, 'tea', 1)")
    connection.close()
    done = imports.import_file(home, url, toml(tmp_path), table="sales")
    assert done["set_aside"] == {"unreadable": 1}
    assert {row["order_id"] for row in events(home)} == {"1", "2"}


@pytest.mark.parametrize(
    ("url", "table", "says"),
    [
        ("SQLITE", None, "name the database's table with --table"),
        ("SQLITE", "sails", "the database's table sails cannot be read"),
        ("SQLITE", "unsold", "table unsold is empty"),
        ("nosql://ann:hunter2@host/shop", "sales", "the database's table sales cannot be read"),
        ("sqlite:////nowhere/hunter2/shop.db", "sales", "the database's table sales cannot be read"),
        ("postgresql+nodriver://ann:hunter2@[::1/shop", "sales", "the database's table sales cannot be read"),
    ],
)
def test_a_database_that_cannot_be_read_is_said_without_its_password(
    home: Home, tmp_path: Path, url: str, table: str | None, says: str
):
    url = url.replace("SQLITE", database(tmp_path))
    with pytest.raises(PatronError, match=says) as caught:
        imports.import_file(home, url, toml(tmp_path), table=table)
    assert "hunter2" not in str(caught.value)
    assert not home.path.exists()


# Files that overlap


def test_overlapping_files_in_any_order_are_the_whole(tmp_path: Path):
    own = toml(tmp_path)
    first, last = "cat,2024-02-01,9,tea,3", "bob,2024-08-01,10,tea,-12.50"
    # The second file begins within an order: that is no correction of it.
    a, b = csv(tmp_path, first, *ROWS[:3], name="a.csv"), csv(tmp_path, *ROWS[1:], last, name="b.csv")
    whole = csv(tmp_path, first, *ROWS, last, name="whole.csv")
    homes = {}
    for name, files in {"ab": (a, b), "ba": (b, a), "whole": (whole,), "all": (whole, b, a)}.items():
        homes[name] = Home(tmp_path / name)
        for file in files:
            imports.import_file(homes[name], file, own)
    assert len({generation(home) for home in homes.values()}) == 1
    for table in ("order_lines", "refunds", "traits"):
        assert len({str(events(home, table)) for home in homes.values()}) == 1
    before = contents(homes["ab"])
    assert imports.import_file(homes["ab"], a, own)["changed"] is False
    assert imports.import_file(homes["ab"], b, own)["changed"] is False
    assert contents(homes["ab"]) == before


def test_a_change_told_in_between_makes_what_follows_news(tmp_path: Path):
    own = toml(tmp_path, SHOP + ORDERS + 'traits = { country = "land" }\n')
    rows = [
        f"ann,2024-03-0{day},{day},tea,1,{land}" for day, land in enumerate(("FR", "FR", "IT", "FR"), start=1)
    ]
    header = HEADER + ",land"
    outer = csv(tmp_path, rows[0], rows[1], rows[3], header=header, name="outer.csv")
    inner = csv(tmp_path, rows[2], header=header, name="inner.csv")
    for name, files in {"a": (outer, inner), "b": (inner, outer)}.items():
        home = Home(tmp_path / name)
        for file in files:
            imports.import_file(home, file, own)
        assert [row["value"] for row in events(home, "traits")] == ["FR", "IT", "FR"]


def test_orders_without_a_number_are_the_same_in_any_order_of_files(tmp_path: Path):
    own = toml(tmp_path, SHOP + ORDERS.replace('order = "no"\n', ""))
    a, b = csv(tmp_path, *ROWS[2:3], name="a.csv"), csv(tmp_path, *ROWS[:2], *ROWS[3:], name="b.csv")
    homes = [Home(tmp_path / name) for name in "xy"]
    for home, files in zip(homes, ((a, b), (b, a)), strict=True):
        for file in files:
            done = imports.import_file(home, file, own)
        assert (done["orders"], "refunds_unmatched" in done) == (2, False)
    assert generation(homes[0]) == generation(homes[1])


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1), (2, 2)])
def test_of_identical_lines_as_many_count_as_the_later_file_has(
    home: Home, tmp_path: Path, first: int, second: int
):
    own = toml(tmp_path, SHOP + ORDERS + 'identical_lines = "all"\n')
    for name, n in (("a.csv", first), ("b.csv", second)):
        path = csv(tmp_path, *ROWS[:1] * n, *(ROWS[2:3] if name == "b.csv" else ()), name=name)
        imports.import_file(home, path, own)
    valid = [row for row in events(home) if row["replaced_at"] is None]
    lines = Counter((row["customer"], float(row["amount"])) for row in valid)
    assert lines == {("ann", 12.5): second, ("bob", 12.5): 1}


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1), (2, 2)])
def test_of_identical_lines_without_an_order_the_larger_number_counts(
    home: Home, tmp_path: Path, first: int, second: int
):
    own = toml(tmp_path, SHOP + ORDERS.replace('order = "no"\n', "") + 'identical_lines = "all"\n')
    for name, n in (("a.csv", first), ("b.csv", second)):
        path = csv(tmp_path, *ROWS[:1] * n, *(ROWS[2:3] if name == "b.csv" else ()), name=name)
        imports.import_file(home, path, own)
    assert Counter(amounts(home)) == {("ann", 12.5): max(first, second), ("bob", 12.5): 1}


trades = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cat"]),
        st.integers(1, 5),  # day
        st.sampled_from(["tea", "cup"]),
        st.sampled_from([-2, -1, 1, 2, 5]),  # quantity, 3 each
        st.sampled_from(["FR", "IT"]),
        st.sampled_from(["a", "b", "ab", "bc", "c", "abc"]),  # the files it stands in
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=4)
@given(trades, st.permutations("abc"), st.booleans())
def test_any_files_that_overlap_in_any_order_are_the_whole(
    raw: list[tuple[str, int, str, int, str, str]], order: list[str], numbered: bool
):
    orders = ORDERS + 'quantity = "n"\ntraits = { country = "land" }\n'
    text = SHOP + (orders if numbered else orders.replace('order = "no"\n', ""))
    seen: dict[str, str] = {"zoe,2024-01-01,0,tea,3,1,FR": "abc"}  # each file has an order
    identities = set()
    for who, day, sku, n, land, files in raw:
        if (identity := (who, day, sku, n)) not in identities:
            identities.add(identity)
            seen[f"{who},2024-03-0{day},{who}{day},{sku},{n * 3},{n},{land}"] = files
    if numbered:  # a line that a file's order lacks would be gone: files hold whole orders
        files_of: dict[str, str] = {}
        seen = {row: files_of.setdefault(row.split(",")[2], files) for row, files in seen.items()}
    header = HEADER + ",n,land"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        own = toml(folder, text)
        whole, parts = Home(folder / "whole"), Home(folder / "parts")
        imports.import_file(whole, csv(folder, *seen, header=header, name="whole.csv"), own)
        for name in order:
            rows = [row for row, files in seen.items() if name in files]
            imports.import_file(parts, csv(folder, *rows, header=header, name=f"{name}.csv"), own)
        assert generation(parts) == generation(whole)
        # Without numbers, an order's begins with its customer's key, which is each home's own.
        for table in ("order_lines", "refunds", "traits") if numbered else ("traits",):
            assert events(parts, table) == events(whole, table)
