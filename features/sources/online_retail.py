"""Source ``online-retail``: the order lines of a British gift wholesaler (UCI Online Retail I, II).

One Parquet file with InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice,
CustomerID and Country. Times are the shop's local ones; prices are pounds sterling.

Every row is kept or set aside for one reason, the first that applies:

- ``unreadable``: no product, quantity, price or time that can be read;
- ``no_customer``; ``price_not_positive``;
- ``adjustment``: bookkeeping and not trade (manual entries, discounts, bad debt, bank and
  marketplace fees, samples, tests);
- ``not_a_sale``: a quantity of 0 or below that is not a cancellation, or the reverse;
- ``duplicate``: the same in every column as another row; one of them is kept.

A cancellation (InvoiceNo starts with C) becomes a refund, see :func:`match_refunds`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa

from features.errors import PatronError
from features.sources.accounts import Accounts

TIME_ZONE, CURRENCY = "Europe/London", "GBP"
COLUMNS = {
    "InvoiceNo": "VARCHAR",
    "StockCode": "VARCHAR",
    "Description": "VARCHAR",
    "Quantity": "BIGINT",
    "InvoiceDate": "TIMESTAMP",
    "UnitPrice": "DOUBLE",
    "CustomerID": "BIGINT",
    "Country": "VARCHAR",
}
ADJUSTMENTS = (
    "M", "D", "B", "S", "ADJUST", "ADJUST2", "BANK CHARGES", "AMAZONFEE", "CRUK",
    "TEST001", "TEST002",
)  # fmt: skip
SHIPPING = ("POST", "DOT", "C2", "C3")
# The file has no categories: the first of these words found in a description decides.
CATEGORIES = {
    "christmas": "CHRISTMAS|XMAS|ADVENT|BAUBLE|REINDEER|SANTA",
    "bags": "BAG|SHOPPER|PURSE|LUGGAGE",
    "lighting": "LIGHT|CANDLE|LANTERN|LAMP",
    "stationery": "CARD|WRAP|PAPER|PEN|PENCIL|NOTEBOOK|TISSUE|STICKER|RIBBON|ENVELOPE|POSTER",
    "jewellery": "NECKLACE|BRACELET|EARRING|RING|BANGLE|HAIR",
    "kitchen": "MUG|CUP|PLATE|BOWL|TEA|CAKE|JAR|SPOON|APRON|BAKING|LUNCH|BOTTLE|TRAY|JUG|COASTER|EGG|GLASS"
    "|NAPKIN",
    "toys": "TOY|DOLL|GAME|PUZZLE|PLAYHOUSE|CHILDREN|KIDS|BALLOON|JIGSAW|SOLDIER|SKITTLE",
    "garden": "GARDEN|FLOWER|PLANT|BIRD|WATERING|PARASOL",
    "textiles": "CUSHION|TOWEL|BLANKET|BUNTING|RUG|DOORMAT|FABRIC|THROW",
    "storage": "BOX|TIN|BASKET|DRAWER|CABINET|RACK|HOLDER|CRATE|STORAGE",
    "decoration": "HEART|SIGN|CLOCK|FRAME|MIRROR|HOOK|HANGER|DECORATION|WREATH|ORNAMENT|DOORSTOP|WALL|ART",
}


def read(connection: duckdb.DuckDBPyConnection, path: Path) -> Accounts:
    """Read the file into ``order_lines``, ``refunds``, ``traits`` and ``set_aside``.

    Raises:
        PatronError: the file is missing, empty, not Parquet or lacks a column, or no row of it
            can be kept.
    """
    ignored = _open(connection, path)
    _judge(connection)
    (read_rows,) = connection.execute("SELECT count(*) FROM judged").fetchone() or (0,)
    set_aside = dict(
        connection.execute(
            "SELECT reason, count(*) FROM judged WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
    )
    if sum(set_aside.values()) == read_rows:
        raise PatronError(
            f"{path}: none of its {read_rows:,} rows can be used ({_reasons(set_aside)});"
            " nothing was imported"
        )
    _order_lines(connection)
    unmatched = _refunds(connection)
    _traits(connection)
    connection.execute(
        "CREATE TABLE set_aside AS SELECT row_number, reason, InvoiceNo, StockCode, Quantity,"
        " UnitPrice, InvoiceDate FROM judged WHERE reason IS NOT NULL ORDER BY row_number"
    )
    kept = {
        name: (connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,))[0]
        for name in ("order_lines", "refunds")
    }
    notes = {"refunds_unmatched": unmatched, "columns_ignored": ignored}
    return Accounts(read_rows, kept, set_aside, notes)


def _reasons(set_aside: dict[str, int]) -> str:
    return ", ".join(f"{reason.replace('_', ' ')}: {n:,}" for reason, n in set_aside.items())


def _open(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Make the view ``raw``; return how many columns of the file it leaves out."""
    if not path.is_file():
        raise PatronError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise PatronError(f"{path}: the file is empty; nothing was imported")
    try:
        parquet = connection.from_parquet(str(path), file_row_number=True)
    except duckdb.Error as error:
        raise PatronError(
            f"{path}: this is not a Parquet file, or it is damaged; nothing was imported"
        ) from error
    missing = [name for name in COLUMNS if name not in parquet.columns]
    if missing:
        raise PatronError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(parquet.columns[:-1])}."
            " The source online-retail needs all of " + ", ".join(COLUMNS)
        )
    typed = ", ".join(f"TRY_CAST({name} AS {dtype}) AS {name}" for name, dtype in COLUMNS.items())
    try:
        parquet.project(f"file_row_number AS row_number, {typed}").create("raw")
    except duckdb.Error as error:
        raise PatronError(
            f"{path}: the file is damaged, reading stopped half-way; nothing was imported"
        ) from error
    return len(parquet.columns) - len(COLUMNS) - 1


def _judge(connection: duckdb.DuckDBPyConnection) -> None:
    adjustments = ", ".join(f"'{code}'" for code in ADJUSTMENTS)
    same = ", ".join(COLUMNS)
    connection.execute(
        f"""
        CREATE TABLE judged AS
        SELECT *, CASE
            WHEN StockCode IS NULL OR InvoiceNo IS NULL OR Quantity IS NULL OR UnitPrice IS NULL
                OR NOT isfinite(UnitPrice) OR abs(UnitPrice) > 1e9 OR abs(Quantity::DOUBLE) > 1e9
                OR abs(Quantity * UnitPrice) > 1e12 OR InvoiceDate IS NULL
                OR InvoiceDate NOT BETWEEN TIMESTAMP '1900-01-01' AND TIMESTAMP '2200-01-01'
                THEN 'unreadable'
            WHEN CustomerID IS NULL THEN 'no_customer'
            WHEN UnitPrice <= 0 THEN 'price_not_positive'
            WHEN upper(StockCode) IN ({adjustments}) THEN 'adjustment'
            WHEN (Quantity <= 0) <> (InvoiceNo LIKE 'C%') OR Quantity = 0 THEN 'not_a_sale'
            WHEN row_number() OVER (PARTITION BY {same} ORDER BY row_number) > 1 THEN 'duplicate'
        END AS reason FROM raw
        """
    )
    shipping = ", ".join(f"'{code}'" for code in SHIPPING)
    cases = " ".join(
        f"WHEN regexp_matches(Description, '\\b({words})S?\\b') THEN '{name}'"
        for name, words in CATEGORIES.items()
    )
    connection.execute(
        f"""
        CREATE VIEW kept AS
        SELECT CustomerID::VARCHAR AS customer_id, timestamp, timestamp AS received_at,
            InvoiceNo AS order_id, StockCode AS product_id,
            CASE WHEN StockCode IN ({shipping}) THEN NULL {cases} ELSE 'other' END AS category,
            abs(Quantity) AS quantity, round(abs(Quantity) * UnitPrice, 4) AS amount,
            Country AS country, row_number
        FROM (SELECT *, timezone('UTC', timezone('{TIME_ZONE}', InvoiceDate)) AS timestamp
              FROM judged WHERE reason IS NULL)
        """
    )


def _order_lines(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE order_lines AS SELECT * EXCLUDE (country), 0 AS discount FROM kept"
        " WHERE NOT order_id LIKE 'C%'"
    )


def _traits(connection: duckdb.DuckDBPyConnection) -> None:
    """A customer's country, each time it is new or differs from the one before."""
    connection.execute(
        """
        CREATE TABLE traits AS
        SELECT customer_id, timestamp, received_at, 'country' AS name, country AS value FROM (
            SELECT *, lag(country) OVER (
                PARTITION BY customer_id ORDER BY timestamp, row_number) AS before
            FROM kept WHERE country IS NOT NULL)
        WHERE before IS DISTINCT FROM country
        """
    )


def _refunds(connection: duckdb.DuckDBPyConnection) -> int:
    """Make ``refunds``; return how many match no order line."""
    lines = connection.execute(
        """
        SELECT customer_id, product_id, timestamp, row_number, order_id, quantity FROM kept
        SEMI JOIN (SELECT customer_id, product_id FROM kept WHERE order_id LIKE 'C%') AS returned
            USING (customer_id, product_id)
        ORDER BY timestamp, row_number
        """
    ).fetchall()
    matched = match_refunds(lines)
    connection.register(
        "matched_refunds",
        pa.table(
            {
                "row_number": pa.array(list(matched), "int64"),
                "bought_in": pa.array(list(matched.values()), "string"),
            }
        ),
    )
    connection.execute(
        "CREATE TABLE refunds AS SELECT * EXCLUDE (country, order_id, bought_in),"
        " bought_in AS order_id, bought_in IS NOT NULL AS matched"
        " FROM kept JOIN matched_refunds USING (row_number)"
    )
    return sum(order is None for order in matched.values())


def match_refunds(
    lines: list[tuple[str, str, object, int, str, int]],
) -> dict[int, str | None]:
    """Find the order that each cancellation takes back.

    Args:
        lines: (customer, product, time, row number, invoice, quantity) of order lines and
            cancellations, by time.

    Returns:
        For each cancellation's row number the invoice of the latest earlier line of the same
        customer and product that still has the quantity unreturned; None where there is none.
    """
    open_lines: dict[tuple[str, str], list[list[object]]] = defaultdict(list)
    found: dict[int, str | None] = {}
    for customer, product, time, row_number, invoice, quantity in lines:
        candidates = open_lines[customer, product]
        if not invoice.startswith("C"):
            candidates.append([time, invoice, quantity])
            continue
        found[row_number] = None
        for line in reversed(candidates):
            if line[0] < time and line[2] >= quantity:  # type: ignore[operator]
                line[2] -= quantity  # type: ignore[operator]
                found[row_number] = str(line[1])
                break
    return found
