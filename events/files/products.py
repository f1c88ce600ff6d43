"""A catalogue of products from a file: names, addresses, pictures, prices and stock.

The columns are recognised by their names, those of product feeds (``id``, ``title``, ``link``,
``image_link``, ``price``, ``availability``; source: Google Merchant Center's product data specification) and
others that shops use, in English and Chinese. The catalogue is ``products.parquet`` of the home; an import
replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.errors import PatronError
from core.home import Home
from events.files.table import Table, open_table

SCHEMA = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        ("name", pa.string()),
        ("url", pa.string()),
        ("image_url", pa.string()),
        ("price", pa.float64()),
        ("stock", pa.float64()),
        ("in_stock", pa.bool_()),
    ]
)
HEADERS: Mapping[str, Sequence[str]] = {
    "product_id": ("product_id", "id", "sku", "variant_sku", "商品编号", "商品id", "商品编码", "货号"),
    "name": ("name", "title", "product_name", "product", "商品名称", "名称", "标题"),
    "url": ("url", "link", "product_url", "商品链接", "链接", "网址"),
    "image_url": ("image_url", "image_link", "image", "picture", "image_src", "图片", "图片链接", "主图"),
    "price": ("price", "sale_price", "variant_price", "价格", "售价", "单价"),
    "stock": ("stock", "quantity", "inventory", "stock_quantity", "variant_inventory_qty", "库存", "库存量"),
    "availability": ("availability", "in_stock", "available", "stock_status", "库存状态", "有货"),
}  # fmt: skip
"""The names of columns, by field, in lower case with _ for blanks and punctuation."""
_YES = (
    "in_stock", "instock", "available", "yes", "true", "1", "preorder", "backorder", "limited_availability",
    "有货", "有", "是", "现货",
)  # fmt: skip
_NO = (
    "out_of_stock", "outofstock", "sold_out", "unavailable", "no", "false", "0", "discontinued",
    "缺货", "无货", "无", "否", "售罄", "下架",
)  # fmt: skip
_AVAILABLE = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)


def catalogue_file(home: Home) -> Path:
    """Parquet: the catalogue of products, of ``SCHEMA``."""
    return home.path / "products.parquet"


def import_products(home: Home, place: str | Path) -> dict[str, Any]:
    """Replace the catalogue of a home by the products of a file or a database's table.

    Every row is accounted for: ``rows`` = ``products`` + ``without_id`` + ``repeated``. Of rows with the
    same id the last one counts. A cell that cannot be used is empty in the catalogue and is counted in
    ``unreadable`` by field.

    Raises:
        PatronError: there is no shop, the file cannot be read, or it has no column of product ids.
    """
    home.shop()
    table = open_table(place)
    columns = _columns(table)
    rows, unreadable = _rows(table, columns)
    products = {row["product_id"]: row for row in rows if row["product_id"] is not None}
    without_id = sum(row["product_id"] is None for row in rows)
    with files.replacing(catalogue_file(home)) as draft:
        pq.write_table(pa.Table.from_pylist([products[name] for name in sorted(products)], SCHEMA), draft)
    return {
        "rows": len(rows),
        "products": len(products),
        "without_id": without_id,
        "repeated": len(rows) - without_id - len(products),
        "columns": columns,
        "out_of_stock": sum(row["in_stock"] is False for row in products.values()),
        "unreadable": {name: count for name, count in unreadable.items() if count},
        "notes": list(table.notes),
    }


def _columns(table: Table) -> dict[str, str]:
    """The column of each field that the table has."""
    named = {re.sub(r"\W+", "_", name.strip().lower()).strip("_"): name for name in reversed(table.names)}
    columns = {
        field: named[header]
        for field, headers in HEADERS.items()
        for header in reversed(headers)
        if header in named
    }
    if "product_id" not in columns:
        known = ", ".join(HEADERS["product_id"])
        raise PatronError(
            f"{table.place}: no column of product ids; name it one of {known}."
            f" The columns are {', '.join(table.names)}"
        )
    return columns


def _rows(table: Table, columns: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The products of a table, and per field the filled cells that cannot be used."""
    texts = {field: table.typed({name: "string"})[name].to_pylist() for field, name in columns.items()}
    numbers = {
        field: table.typed({columns[field]: "float64"})[columns[field]].to_pylist()
        for field in ("price", "stock")
        if field in columns
    }
    values: dict[str, list[Any]] = {name: [None] * table.rows for name in (*SCHEMA.names, "availability")}
    values |= texts | numbers
    for field in ("url", "image_url"):
        values[field] = [text if text is None or _is_address(text) else None for text in values[field]]
    values["price"] = [price if price is None or price >= 0 else None for price in values["price"]]
    words = [None if text is None else _AVAILABLE.get(_word(text)) for text in values["availability"]]
    values["availability"] = words
    values["in_stock"] = [
        stock > 0 if word is None and stock is not None else word
        for word, stock in zip(words, values["stock"], strict=True)
    ]
    unreadable = {
        field: sum(t is not None and v is None for t, v in zip(cells, values[field], strict=True))
        for field, cells in texts.items()
    }
    names = SCHEMA.names
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(values[n] for n in names), strict=True)]
    return rows, unreadable


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text.strip().lower()).strip("_")


def _is_address(text: str) -> bool:
    """Whether a text is an address on the web, and no script."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
