"""The catalogue of products: from files with the columns of shops and feeds, every row accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock, Shop
from events.files.products import SCHEMA, catalogue_file, import_products
from events.queries.product_catalogue import open_catalogue
from serving.rankings.stocked import StockedRanking, in_stock

FEED = """id,title,link,image_link,price,availability
A1,Red mug,https://shop.example/a1,https://shop.example/a1.jpg,15.00 EUR,in_stock
A2,Blue mug,javascript:alert(1),,12.50 EUR,out of stock
,No id,,,1.00 EUR,in_stock
A3,"Mug, large",https://shop.example/a3,ftp://x/y.jpg,,soon
A1,Red mug (new),https://shop.example/a1,,16.00 EUR,in stock
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.write_shop(Shop("mapping", "UTC", "EUR", Clock(datetime(2024, 7, 1, tzinfo=UTC))))
    return home


def imported(
    home: Home, text: str, name: str = "products.csv"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    path = home.path.parent / name
    path.write_text(text, encoding="utf-8")
    done = import_products(home, path)
    table = pq.read_table(catalogue_file(home))
    assert table.schema.equals(SCHEMA)
    return done, table.to_pylist()


def test_a_product_feed_is_read_and_every_row_accounted_for(home: Home) -> None:
    done, rows = imported(home, FEED)
    assert (done["rows"], done["products"], done["without_id"], done["repeated"]) == (5, 3, 1, 1)
    assert done["rows"] == done["products"] + done["without_id"] + done["repeated"]
    assert done["unreadable"] == {"url": 1, "image_url": 1, "availability": 1}
    assert done["out_of_stock"] == 1
    assert [tuple(row.values()) for row in rows] == [
        ("A1", "Red mug (new)", "https://shop.example/a1", None, 16.0, None, True),
        ("A2", "Blue mug", None, None, 12.5, None, False),
        ("A3", "Mug, large", "https://shop.example/a3", None, None, None, None),
    ]


def test_chinese_columns_and_numbers_of_stock_are_read(home: Home) -> None:
    _, rows = imported(
        home, "商品编号,商品名称,价格,库存\n001,红杯,￥15.50,3\n002,蓝杯,12,0\n003,绿杯,9,-2\n004,,,\n"
    )
    assert [(r["product_id"], r["name"], r["stock"], r["in_stock"]) for r in rows] == [
        ("001", "红杯", 3.0, True), ("002", "蓝杯", 0.0, False), ("003", "绿杯", -2.0, False),
        ("004", None, None, None),
    ]  # fmt: skip


def test_a_stated_availability_counts_before_the_number(home: Home) -> None:
    _, rows = imported(home, "sku,stock,availability\na,0,preorder\nb,5,sold out\nc,0,\n")
    assert [row["in_stock"] for row in rows] == [True, False, False]


def test_a_file_without_ids_is_refused_and_the_catalogue_stays(home: Home) -> None:
    imported(home, FEED)
    with pytest.raises(
        PatronError, match=r"no column of product ids; name it one of .*The columns are what, p"
    ):
        imported(home, "what,price\nmug,1\n")
    assert len(pq.read_table(catalogue_file(home))) == 3
    with pytest.raises(NothingThere, match="there is no shop"):
        import_products(Home(home.path / "none"), home.path.parent / "products.csv")


def test_a_new_catalogue_replaces_the_old_one_and_a_damaged_one_says_what_to_do(home: Home) -> None:
    assert open_catalogue(home) is None
    imported(home, FEED)
    first = open_catalogue(home)
    assert first is not None
    assert first.out_of_stock == {"A2"}
    described = first.describe(pa.array(["A3", "other", "A1"]))
    assert described["name"].to_pylist() == ["Mug, large", None, "Red mug (new)"]
    imported(home, "sku,name\nB1,Cup\n")
    second = open_catalogue(home)
    assert second is not None
    assert second.products["product_id"].to_pylist() == ["B1"]
    catalogue_file(home).write_bytes(b"no parquet")
    with pytest.raises(PatronError, match="run `patron import FILE --products` again"):
        open_catalogue(home)


RANKED = pa.schema(
    [
        ("customer_key", pa.int64()),
        ("product_id", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Fitted:
    product_ids: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """A ranking of the same products, in the same order, for every customer."""

    fitted: Fitted

    def rank(self, keys: list[int], limit: int | None) -> pa.Table:
        rows = [
            {"customer_key": key, "product_id": name, "score": 0.5, "reason": "r"}
            for key in keys
            for name in self.fitted.product_ids[:limit]
        ]
        return pa.Table.from_pylist(rows, RANKED)


def test_each_customer_gets_as_many_products_as_before_and_none_that_is_out_of_stock(home: Home) -> None:
    ranking: Any = Ranked(Fitted(("A2", "A1", "X", "A3", "Y")))
    assert in_stock(home, ranking) is ranking
    imported(home, FEED)
    stocked = in_stock(home, ranking)
    assert isinstance(stocked, StockedRanking)
    everything = ["A1", "X", "A3", "Y"]
    for limit, expected in ((1, ["A1"]), (3, everything[:3]), (9, everything), (None, everything)):
        rows = stocked.rank([3, 7], limit)
        assert rows["product_id"].to_pylist() == expected * 2
        assert rows["customer_key"].to_pylist() == [3] * len(expected) + [7] * len(expected)
    assert rows["name"].to_pylist()[:3] == ["Red mug (new)", None, "Mug, large"]
    assert rows["price"].to_pylist()[:2] == [16.0, None]
    assert len(stocked.rank([], 3)) == 0
