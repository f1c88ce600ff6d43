"""Drafts of mappings, and the time and memory of reading: `python -m benchmarks.files [--drafts]`.

Drafts: for each file of ../shared/data and ../shared/cases/files the roles that `--inspect` finds, those
that it marks as unsure, and those that are wrong, as a table of Markdown. Fails where one is wrong and not
marked. Reading: `patron import` of an order book of 500,000 orders from CSV (at most 25 s and 1.2 GB on two
idle cores) and of 100,000 rows of .xlsx (at most 30 s), each into a new home. The workbook is written with
XlsxWriter, which the tests need too.
"""

from __future__ import annotations

import random
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.harness import homes
from benchmarks.harness.report import Result, publish
from events.files.imports import inspect_file

SHARED = Path(__file__).parents[2] / "shared"
ROLES = (
    "customer", "time", "order", "product", "category", "quantity", "unit_price", "amount", "order_total",
    "currency",
)  # fmt: skip
PLAIN = {"customer": "customer", "time": "date", "order": "order", "amount": "amount"}
RIGHT: dict[str, dict[str, str]] = {
    "CDNOW_master.txt": {"customer": "customer_id", "time": "date", "quantity": "number_of_cds",
                         "amount": "dollar_value"},
    "CDNOW_sample.txt": {"customer": "column0", "time": "column2", "amount": "column4"},
    "online_retail_2009_2011.parquet": {
        "customer": "CustomerID", "time": "InvoiceDate", "order": "InvoiceNo", "product": "StockCode",
        "quantity": "Quantity", "unit_price": "UnitPrice"},
    "currency_in_amount.csv": PLAIN, "negative_formats.csv": PLAIN, "newsletter.csv": PLAIN,
    "quoted_header.csv": PLAIN, "status_column.csv": PLAIN, "twelve_hour.csv": PLAIN, "typo_year.csv": PLAIN,
    "sql_header.csv": {"customer": "customer", "time": "date", "order": "order"},
    "dd_mm_yyyy.csv": {"customer": "Customer ID", "time": "Order Date", "order": "Order ID",
                       "amount": "Amount"},
    "epoch_ms.csv": PLAIN | {"time": "timestamp"},
    "export_friday.csv": PLAIN | {"product": "item", "quantity": "qty"},
    "export_monday.csv": PLAIN | {"product": "item", "quantity": "qty"},
    "receipt_numbers_per_day.csv": PLAIN | {"product": "item", "quantity": "qty"},
    "gbk.csv": {"customer": "会员编号", "time": "下单时间", "order": "订单编号", "category": "商品类别",
                "amount": "实付金额"},
    "german_whole.csv": {"customer": "Kunde", "time": "Datum", "order": "Bestellnr", "amount": "Betrag"},
    "preamble.csv": {"customer": "Kunde", "time": "Datum", "order": "Bestellnr", "amount": "Betrag"},
    "identical_unmapped.csv": PLAIN | {"product": "item"},
    "olist_like.csv": {"customer": "customer_unique_id", "time": "order_purchase_timestamp",
                       "order": "order_id", "amount": "price"},
    "ship_date_first.csv": {"customer": "customer id", "time": "order date", "order": "order",
                            "amount": "sales"},
    "shopify_time.csv": {"customer": "Email", "time": "Created at", "order": "Name", "amount": "Total"},
    "weighed_goods.csv": {"customer": "customer", "time": "date", "order": "order", "product": "product",
                          "quantity": "quantity", "unit_price": "unit price"},
}  # fmt: skip
"""The columns that the roles have; no order at all in the other files, whose draft must be a skeleton."""
ORDERS, SHEET_ROWS = 500_000, 100_000
MAPPING = """[shop]
time_zone = "Europe/Berlin"
currency = "EUR"
[orders]
customer = "customer"
time = "date"
order = "order"
product = "item"
amount = "amount"
"""


def main(arguments: Sequence[str]) -> int:
    """Draft, and unless only that is wanted, read."""
    wrong = draft_all()
    if "--drafts" not in arguments:
        publish("files", read_all())
    return int(wrong > 0)


def draft_all() -> int:
    """Print the table of drafts; returns the number of wrong roles that are not marked."""
    files = [*(SHARED / "data").rglob("*.*"), *(SHARED / "cases" / "files").glob("*.csv")]
    unmarked = 0
    print("| file | roles found | of these unsure | wrong | missing |\n|---|---|---|---|---|")
    files = sorted((path for path in files if path.suffix != ".md"), key=lambda path: path.name)
    repeated = Counter(path.name for path in files)
    for path in files:
        text = inspect_file(path)
        section = tomllib.loads(text)
        roles: dict[str, Any] = section.get("orders") or section.get("customers") or {}
        named = {role: column for role, column in roles.items() if role in ROLES}
        unsure = [role for role in named if _is_unsure(text, role)]
        right = RIGHT.get(path.name, {})
        wrong = [role for role, column in named.items() if right.get(role) != column]
        missing = [role for role in right if role not in named]
        unmarked += len(set(wrong) - set(unsure))
        cells = [", ".join(names) or "–" for names in (named, unsure, wrong, missing)]
        kind = "" if roles else " (skeleton)"
        name = path.name if repeated[path.name] == 1 else f"{path.parent.name}/{path.name}"
        print(f"| {name} | {cells[0]}{kind} | {cells[1]} | {cells[2]} | {cells[3]} |")
    return unmarked


def _is_unsure(text: str, role: str) -> bool:
    return any(line.startswith(f"{role} =") and "# unsure" in line for line in text.splitlines())


def read_all() -> dict[str, Result]:
    """The time, the processor's time and the memory of both imports, each by the command in a new home."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        how = folder / "orders.toml"
        how.write_text(MAPPING)
        book, sheet = folder / "orders.csv", folder / "orders.xlsx"
        with open(book, "w", encoding="utf-8") as written:
            written.writelines(",".join(row) + "\n" for row in order_book(ORDERS))
        _write_sheet(sheet)
        return {
            name: result
            for measure, home, file in (
                ("500,000 orders of CSV", folder / "a", book),
                ("100,000 rows of .xlsx", folder / "b", sheet),
            )
            for name, result in homes.measured(measure, home, ["import", str(file), "--as", str(how)]).items()
        }


def order_book(orders: int) -> Iterator[tuple[str, ...]]:
    """The header and the rows of made-up orders."""
    draw = random.Random(5)
    yield "customer", "date", "order", "item", "amount"
    for number in range(orders):
        day = date(2022, 1, 1) + timedelta(number * 900 // orders)
        customer, item = f"K{draw.randrange(orders // 8)}", f"item {draw.randrange(500)}"
        yield customer, str(day), str(number), item, f"{draw.uniform(1, 90):.2f}"


def _write_sheet(path: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        page = book.add_worksheet("Orders")
        for index, row in enumerate(order_book(SHEET_ROWS)):
            page.write_row(index, 0, row if index == 0 else (*row[:4], float(row[4])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
