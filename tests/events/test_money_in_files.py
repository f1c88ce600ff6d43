"""What a mapping says of money: cancelled and refunded rows, whole orders, shares, currencies, no amounts."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PatronError
from core.home import Home
from core.storage.duckdb_engine import connect
from events import lake
from events.files import classify, imports, mapping
from events.identity import Identity

SHOP = '[shop]\ntime_zone = "Europe/Berlin"\ncurrency = "EUR"\n'
ORDERS = '[orders]\ncustomer = "who"\ntime = "day"\norder = "no"\n'


def write(folder: Path, text: str, name: str = "orders.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def read(folder: Path, table: str, settings: str, sections: str = "") -> dict[str, Any]:
    """The event tables of a file, as lists of rows, and its counts."""
    own = write(folder, SHOP + ORDERS + settings + sections, "own.toml")
    connection = connect().con
    result = classify.read(connection, write(folder, table), mapping.load(own), folder=mapping.folder(own))
    tables: dict[str, Any] = {"counts": result.counts}
    for name in ("order_lines", "refunds", "set_aside"):
        cursor = connection.execute(f"SELECT * FROM {name} ORDER BY ALL")
        names = [column[0] for column in cursor.description]
        tables[name] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return tables


def net(tables: dict[str, Any]) -> dict[str, float]:
    """Sales less refunds by customer."""
    sums: dict[str, float] = defaultdict(float)
    for sign, name in ((1, "order_lines"), (-1, "refunds")):
        for row in tables[name]:
            sums[row["customer_id"]] += sign * row["amount"]
    return {customer: round(amount, 4) for customer, amount in sums.items()}


STATUS = (
    "who,day,no,paid,status\nann,2024-03-01,1,100,paid\nann,2024-03-05,2,50,back\nbob,2024-03-02,3,80,void\n"
)
BY_STATUS = (
    'amount = "paid"\ncancelled = { column = "status", one_of = ["void"] }\n'
    'refunded = { column = "status", one_of = ["back"] }\n'
)


def test_a_cancelled_row_counts_as_nothing_and_a_refunded_one_as_a_sale_and_its_refund(tmp_path: Path):
    tables = read(tmp_path, STATUS, BY_STATUS)
    assert net(tables) == {"ann": 100}
    assert [(row["order_id"], row["amount"]) for row in tables["refunds"]] == [("2", 50)]
    counts = tables["counts"]
    assert (counts.read, counts.accepted) == (3, {"order_lines": 2, "refunds": 0})
    assert (counts.rejected, counts.notes) == ({"cancelled": 1}, {"sales_refunded": 1})


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.integers(1, 99_999),
            st.sampled_from(["paid", "void", "back", ""]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_only_what_was_paid_and_not_given_back_counts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
):
    """Whatever the mix of statuses, each row counts for one thing, and the money is that of the paid ones."""
    lines = [
        f"{who},2024-03-{i + 1:02},{i},{cents / 100},{status}" for i, (who, cents, status) in enumerate(rows)
    ]
    book = "\n".join(["who,day,no,paid,status", "eve,2024-03-01,99,1,paid", *lines]) + "\n"
    tables = read(tmp_path_factory.mktemp("book"), book, BY_STATUS)
    expected: dict[str, int] = defaultdict(int)
    for who, cents, status in rows:
        if status != "void":
            expected[who] += cents if status in ("paid", "") else 0
    assert net(tables) == {"eve": 1.0} | {who: cents / 100 for who, cents in expected.items()}
    counts = tables["counts"]
    assert counts.rejected.get("cancelled", 0) == sum(status == "void" for _, _, status in rows)
    assert counts.notes.get("sales_refunded", 0) == sum(status == "back" for _, _, status in rows)


def test_a_status_on_the_first_row_of_an_order_is_that_of_the_order(tmp_path: Path):
    rows = "who,day,no,paid,status\nann,2024-03-01,1,30,void\nann,2024-03-01,1,20,\nann,2024-03-02,2,5,paid\n"
    assert net(read(tmp_path, rows, BY_STATUS)) == {"ann": 5}


def test_refunded_money_is_given_back_but_never_more_than_was_paid(tmp_path: Path):
    rows = "who,day,no,paid,back\nann,2024-03-01,1,30,10\nbob,2024-03-01,2,20,25\ncid,2024-03-01,3,9,\n"
    tables = read(tmp_path, rows, 'amount = "paid"\nrefunded_amount = "back"\n')
    assert net(tables) == {"ann": 20, "bob": 0, "cid": 9}
    assert tables["counts"].notes == {"sales_refunded": 2, "refunds_above_the_sale": 1}


def test_money_given_back_for_an_order_counts_once(tmp_path: Path):
    rows = "who,day,no,sku,paid,back\nann,2024-03-01,1,a,30,15\nann,2024-03-01,1,b,20,15\n"
    tables = read(tmp_path, rows, 'product = "sku"\namount = "paid"\norder_refunded = "back"\n')
    assert net(tables) == {"ann": 35}
    assert [(row["order_id"], row["product_id"]) for row in tables["refunds"]] == [("1", None)]


WHOLE = "who,day,no,sku,n,price,off,total,tax,post\n"


def test_the_total_of_an_order_counts_without_tax_and_shipping(tmp_path: Path):
    rows = (
        WHOLE
        + "ann,2024-03-01,1,a,2,30,,107,17,5\nann,2024-03-01,1,b,1,40,,,,\nbob,2024-03-01,2,a,1,30,,,,\n"
    )
    settings = (
        'product = "sku"\nquantity = "n"\nunit_price = "price"\norder_total = "total"\norder_tax = "tax"\n'
    )
    tables = read(tmp_path, rows, settings + 'order_shipping = "post"\n')
    lines = {
        (row["customer_id"], row["product_id"]): (row["amount"], row["discount"])
        for row in tables["order_lines"]
    }
    assert lines == {("ann", "a"): (51, 9), ("ann", "b"): (34, 6), ("bob", "a"): (30, 0)}


def test_the_total_of_an_order_is_enough(tmp_path: Path):
    rows = "who,day,no,sku,total\nann,2024-03-01,1,a,90\nann,2024-03-01,1,b,90\nbob,2024-03-01,2,a,7\n"
    assert net(read(tmp_path, rows, 'product = "sku"\norder_total = "total"\n')) == {"ann": 90, "bob": 7}


@pytest.mark.parametrize(
    ("settings", "off", "paid", "discount"),
    [
        ("", "5", 20, 5),
        ('discount_as = "share"\n', "0.2", 20, 5),  # 20 is what remained of 25
        ('discount_as = "share"\n', "20 %", 20, 5),
        ('discount_as = "share"\n', "20", 20, 5),
        ('amount_is = "before_discount"\n', "5", 15, 5),
        ('amount_is = "before_discount"\n', "-5", 15, 5),
        ('amount_is = "before_discount"\n', "", 20, 0),
        ('amount_is = "before_discount"\ndiscount_as = "share"\n', "0.2", 16, 4),
        ('amount_is = "before_discount"\ndiscount_as = "share"\n', "100 %", 0, 20),
    ],
)
def test_a_discount_is_money_or_a_share(
    tmp_path: Path, settings: str, off: str, paid: float, discount: float
):
    rows = f"who,day,no,paid,off\nann,2024-03-01,1,20,{off}\n"
    (line,) = read(tmp_path, rows, 'amount = "paid"\ndiscount = "off"\n' + settings)["order_lines"]
    assert (line["amount"], line["discount"]) == (paid, discount)


def test_a_share_that_is_none_is_shown(tmp_path: Path):
    rows = "who,day,no,paid,off\nann,2024-03-01,1,20,half\nann,2024-03-02,2,20,0.5\n"
    settings = 'amount = "paid"\ndiscount = "off"\ndiscount_as = "share"\namount_is = "before_discount"\n'
    tables = read(tmp_path, rows, settings)
    assert [(row["reason"], row["text"]) for row in tables["set_aside"]] == [("unreadable", "off: half")]
    assert net(tables) == {"ann": 10}


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 99_999), st.integers(0, 50_000)), min_size=1, max_size=12
    )
)
def test_lines_add_up_to_what_their_order_brought(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]):
    """However an order's discount is divided, nothing is lost or gained by rounding."""
    cents: dict[int, int] = defaultdict(int)
    off: dict[int, int] = defaultdict(int)
    text = "who,day,no,sku,paid,off\n"
    for order, amount, _ in rows:
        cents[order] += amount
    for i, (order, amount, discount) in enumerate(rows):
        off[order] = off[order] or min(discount, cents[order])
        text += f"ann,2024-03-01,{order},p{i},{amount / 100},{off[order] / 100}\n"
    settings = 'product = "sku"\namount = "paid"\norder_discount = "off"\n'
    tables = read(tmp_path_factory.mktemp("book"), text, settings)
    for order, brought in cents.items():
        lines = [row for row in tables["order_lines"] if row["order_id"] == str(order)]
        amounts = sum(Decimal(str(row["amount"])) for row in lines)
        assert amounts == Decimal(brought - off[order]) / 100
        assert all(row["amount"] >= 0 for row in lines)


def test_weighed_goods_keep_their_money_and_count_as_a_piece(tmp_path: Path):
    rows = (
        "who,day,no,sku,n,price\nann,2024-03-01,1,cheese,0.45,20\nann,2024-03-01,1,wine,3,9\n"
        "bob,2024-03-01,2,ham,1.49,3\n"
    )
    tables = read(tmp_path, rows, 'product = "sku"\nquantity = "n"\nunit_price = "price"\n')
    assert net(tables) == {"ann": 36, "bob": 4.47}
    assert {row["product_id"]: row["quantity"] for row in tables["order_lines"]} == {
        "cheese": 1, "wine": 3, "ham": 1,
    }  # fmt: skip


# Currencies

FOREIGN = (
    "who,day,no,paid\nann,2024-03-01,1,€100\nann,2024-03-01,2,$50\nbob,2024-03-02,3,JPY 8000\n"
    "cid,2024-03-03,4,500 kr\n"
)
RATES = '[rates]\nfile = "rates.csv"\nday = "date"\ncurrency = "code"\n'


def test_amounts_in_another_currency_are_rejected_and_shown(tmp_path: Path):
    tables = read(tmp_path, FOREIGN, 'amount = "paid"\n')
    assert net(tables) == {"ann": 100}
    assert [(row["reason"], row["text"]) for row in tables["set_aside"]] == [
        ("other_currency", "paid: $50"), ("other_currency", "paid: JPY 8000"),
        ("other_currency", "paid: 500 kr"),
    ]  # fmt: skip


def test_the_sign_of_several_currencies_is_the_shops_where_that_is_one(tmp_path: Path):
    own = write(tmp_path, (SHOP + ORDERS).replace("EUR", "CAD") + 'amount = "paid"\n', "own.toml")
    connection = connect().con
    classify.read(connection, write(tmp_path, FOREIGN), mapping.load(own))
    assert connection.execute("SELECT order_id, amount FROM order_lines").fetchall() == [("2", 50.0)]


def test_a_table_of_daily_rates_converts_and_a_gap_in_it_rejects(tmp_path: Path):
    write(tmp_path, "date,code,rate\n2024-03-01,USD,0.9\n2024-03-01,JPY,0.006\n", "rates.csv")
    tables = read(tmp_path, FOREIGN, 'amount = "paid"\n', RATES)
    assert net(tables) == {"ann": 145}
    assert [(row["reason"], row["text"]) for row in tables["set_aside"]] == [
        ("no_rate", "paid: JPY 8000"), ("other_currency", "paid: 500 kr"),
    ]  # fmt: skip
    assert net(read(tmp_path, FOREIGN, 'amount = "paid"\n', RATES + "max_age_days = 3\n")) == {
        "ann": 145,
        "bob": 48,
    }


def test_rates_may_be_written_the_other_way_round(tmp_path: Path):
    write(tmp_path, "date,code,rate\n2024-03-01,USD,1.25\n", "rates.csv")
    assert net(read(tmp_path, FOREIGN, 'amount = "paid"\n', RATES + "inverse = true\n")) == {"ann": 140}


# As a central bank publishes its history: the newest day first, a column per currency, an empty last one.
WIDE = """Date,USD,JPY,BGN,CYP,
2024-03-04,1.25,160,1.9558,N/A,
2024-03-01,1.25,160,1.9558,N/A,
2024-02-29,1.28,N/A,1.9558,N/A,
"""
WIDE_RATES = '[rates]\nfile = "rates.csv"\nday = "Date"\ninverse = true\n'


def test_a_table_of_rates_may_have_a_column_per_currency(tmp_path: Path):
    write(tmp_path, WIDE, "rates.csv")
    tables = read(tmp_path, FOREIGN, 'amount = "paid"\n', WIDE_RATES)
    assert net(tables) == {"ann": 140}
    assert [(row["reason"], row["text"]) for row in tables["set_aside"]] == [
        ("no_rate", "paid: JPY 8000"), ("other_currency", "paid: 500 kr"),  # a Saturday; SEK has no column
    ]  # fmt: skip
    tables = read(tmp_path, FOREIGN, 'amount = "paid"\n', WIDE_RATES + "max_age_days = 3\n")
    assert net(tables) == {"ann": 140, "bob": 50}
    gap = WIDE.replace("160,1.9558,N/A,\n2024-02", " ,1.9558,N/A,\n2024-02")  # Friday has none of JPY
    write(tmp_path, gap, "rates.csv")
    assert net(read(tmp_path, FOREIGN, 'amount = "paid"\n', WIDE_RATES + "max_age_days = 3\n")) == {
        "ann": 140
    }


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.tuples(st.integers(1, 9), st.sampled_from(["USD", "JPY", "SEK"])), st.integers(1, 4000), min_size=1
    ),
    st.booleans(),
    st.integers(0, 3),
)
def test_a_long_and_a_wide_table_of_rates_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, rates: dict[tuple[int, str], int], german: bool, age: int
):
    """Rates of a day and currency, in 1/16 units per euro; an amount without one is rejected."""
    folder = tmp_path_factory.mktemp("rates")

    def shown(rate: int) -> str:
        return str(rate / 16).replace(".", "," if german else ".")

    def dated(day: int) -> str:
        return f"{day:02}.03.2024" if german else f"2024-03-{day:02}"

    rows = "".join(f"c{day},2024-03-{day:02},{day}-{code},{code} 100\n" for day in range(1, 10)
                   for code in ("USD", "JPY", "SEK"))  # fmt: skip
    expected: dict[str, float] = defaultdict(float)
    for day in range(1, 10):
        for code in ("USD", "JPY", "SEK"):
            latest = next((d for d in range(day, day - age - 1, -1) if (d, code) in rates), None)
            if latest is not None:
                expected[f"c{day}"] += round(100 / (rates[latest, code] / 16), 4)
    days, codes = sorted({day for day, _ in rates}, reverse=True), sorted({code for _, code in rates})
    wide = ";".join(["Date", *codes]) + "\n" + "".join(
        ";".join([dated(d), *(shown(rates[d, c]) if (d, c) in rates else "N/A" for c in codes)]) + "\n"
        for d in days
    )  # fmt: skip
    long = "Date;currency;rate\n" + "".join(f"{dated(d)};{c};{shown(r)}\n" for (d, c), r in rates.items())
    own = WIDE_RATES + f"max_age_days = {age}\n"
    own += 'decimal = ","\nday_formats = ["%d.%m.%Y"]\n' if german else ""
    table = "who,day,no,paid\nsure,2024-03-01,s,€1\n" + rows
    for text in (wide, long):
        write(folder, text, "rates.csv")
        tables = read(folder, table, 'amount = "paid"\n', own)
        assert net(tables) == pytest.approx({"sure": 1} | expected)
        assert tables["counts"].read == 28 == len(tables["order_lines"]) + len(tables["set_aside"])


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("date,USD\n2024-03-01,much\n", "there is no column code, rate, and it has date, USD"),
        ("date,code\n2024-03-01,USD\n", "there is no column rate"),
        ("date,code,rate\n2024-03-01,USD,much\n", "1 of its rates have no day"),
        ("date,code,rate\n2024-03-01,USD,1\n2024-03-01,USD,2\n", "USD has two rates on 2024-03-01"),
    ],
)
def test_a_bad_table_of_rates_is_refused(tmp_path: Path, table: str, text: str):
    write(tmp_path, table, "rates.csv")
    with pytest.raises(PatronError, match=text):
        read(tmp_path, FOREIGN, 'amount = "paid"\n', RATES)


def test_a_rate_that_is_no_number_is_refused_in_a_column_of_its_own_too(tmp_path: Path):
    write(tmp_path, "Date,USD,JPY\n2024-03-01,much,N/A\n", "rates.csv")
    with pytest.raises(PatronError, match="1 of its rates have no day such as 2024-03-01"):
        read(tmp_path, FOREIGN, 'amount = "paid"\n', WIDE_RATES)


# Orders without numbers, numbers without meaning, purchases without money


def test_without_a_number_each_row_is_an_order_or_the_rows_of_a_day_are_one(tmp_path: Path):
    rows = "who,day,paid\nann,2024-03-01 08:00,5\nann,2024-03-01 09:00,6\nann,2024-03-01 09:00,6\n"
    section = ORDERS.replace('order = "no"\n', 'amount = "paid"\n')
    for setting, orders in (
        ("", 1),
        ('orders_by = "row"\n', 2),
        ('orders_by = "row"\nidentical_lines = "all"\n', 3),
    ):
        own = write(tmp_path, SHOP + section + setting, "own.toml")
        home = Home(tmp_path / f"home{orders}")
        assert imports.import_file(home, write(tmp_path, rows), own)["orders"] == orders
        # Another export of the same rows has the same orders.
        again = write(tmp_path, rows + "bob,2024-03-02,1\n", "later.csv")
        assert imports.import_file(home, again, own)["orders"] == orders + 1


def test_purchases_without_money_are_kept_at_zero(tmp_path: Path):
    tables = read(tmp_path, "who,day,no\nann,2024-03-01,1\nann,2024-03-09,2\n", "no_amounts = true\n")
    assert [(row["order_id"], row["amount"], row["quantity"]) for row in tables["order_lines"]] == [
        ("1", 0, 1), ("2", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("", "say no_amounts = true"),
        ('no_amounts = true\namount = "paid"\n', "and yet there is amount"),
        ('amount = "who"\n', "the column 'who' is named by customer and by amount"),
        ('amount = "paid"\nproduct = "no"\n', "the column 'no' is named by order and by product"),
        ('amount = "paid"\norder_tax = "tax"\n', "parts of order_total"),
        ('amount = "paid"\norders_by = "row"\n', "without an order number"),
        ('amount = "paid"\ncancelled = { column = "status" }\n', "name one_of"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(tmp_path: Path, settings: str, text: str):
    own = write(tmp_path, SHOP + ORDERS + settings, "own.toml")
    with pytest.raises(PatronError, match=text):
        mapping.load(own)


# Customers and activities


def test_customers_may_come_before_the_first_orders(tmp_path: Path):
    home = Home(tmp_path / "home")
    people = SHOP + '[customers]\ncustomer = "who"\nsince = "2024-01-01"\ntraits = { country = "land" }\n'
    first = imports.import_file(
        home, write(tmp_path, "who,land\nann,FR\n", "p.csv"), write(tmp_path, people, "p.toml")
    )
    assert (first["kept"], first["from"], first["orders"]) == ({"customers": 1}, None, 0)
    orders = write(tmp_path, SHOP + ORDERS + 'amount = "paid"\n', "own.toml")
    done = imports.import_file(home, write(tmp_path, "who,day,no,paid\nann,2024-03-01,1,5\n"), orders)
    assert (done["orders"], done["clock"]) == (1, "2024-03-01T23:00:00+00:00")
    assert len(Identity(home).table()) == 1


LOG = (
    "who,when,what,ticket,stars,words,sku\n"
    "ann,2024-03-01 08:00,mail_open,m1,,,\nann,2024-03-01 09:00,visit,,,,\n"
    "bob,2024-03-02 10:00,review,,4,good,tea\nbob,2024-03-02 10:00,review,,4,good,tea\n"
    ",2024-03-02,visit,,,,\nbob,soon,visit,,,,\nbob,2024-03-03,points,,,,\n"
)
ACTIVITIES = """
[activities]
customer = "who"
time = "when"
name = "what"
reference = "ticket"
product = "sku"
properties = { rating = "stars", text = "words" }
[activities.names]
mail_open = "Email Opened"
visit = "Page Viewed"
review = "Product Reviewed"
points = "Points Earned"
"""


def test_a_log_becomes_activities_by_the_names_of_its_events(tmp_path: Path):
    home = Home(tmp_path / "home")
    own = write(tmp_path, SHOP + ACTIVITIES, "log.toml")
    done = imports.import_file(home, write(tmp_path, LOG, "log.csv"), own)
    assert done["kept"] == {"activities": 4}
    assert done["set_aside"] == {"duplicate": 1, "no_customer": 1, "unreadable": 1}
    backend = lake.connect()
    table = dict(lake.read(home, backend).items())["activities"]
    rows = sorted(backend.to_pyarrow(table).to_pylist(), key=lambda row: row["timestamp"])
    assert [(row["name"], row["kind"], row["channel"], row["reference"]) for row in rows] == [
        ("Email Opened", "opened", "email", "m1"), ("Page Viewed", "page", "web", None),
        ("Product Reviewed", "reviewed", None, None), ("Points Earned", "points_earned", None, None),
    ]  # fmt: skip
    assert (rows[2]["product_id"], rows[2]["properties"]) == ("tea", '{"rating":"4","text":"good"}')
