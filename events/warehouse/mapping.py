"""What a company's queries must give for each event table: the mapping of a warehouse.

``warehouse/order_lines.sql`` in the home is one SELECT in the warehouse's SQL, and likewise ``refunds``,
``traits`` and ``activities``. Columns that are missing here have the value that their ``default`` describes;
further columns are not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from core.errors import PatronError
from core.home import Home
from core.shop import Shop
from events.schema import MONEY
from events.warehouse.local_time import MOMENT


@dataclass(frozen=True)
class SourceColumn:
    """A column of a query.

    Attributes:
        dtype: Ibis' type; texts and numbers are converted to it.
        meaning: after "the".
        default: what stands in for a column that is missing; None if it must be there.
        required: whether every row has a value.
    """

    dtype: str
    meaning: str
    default: str | None = "null"
    required: bool = False


_COMMON = {
    "customer_id": SourceColumn("string", "company's id of the customer", None, required=True),
    "timestamp": SourceColumn(MOMENT, "moment at which it happened", None, required=True),
    "received_at": SourceColumn(
        MOMENT,
        "moment from which the company could know it, such as that of loading; where events are known at"
        " once, select the column of the event's own moment twice",
        None,
        required=True,
    ),
    "message_id": SourceColumn("string", "id of the row, by which repeated rows are detected", "not checked"),
}
_PRODUCT = {
    "product_id": SourceColumn("string", "id of the product"),
    "category": SourceColumn("string", "category of the product"),
}
_REPLACED = {
    "replaced_at": SourceColumn(MOMENT, "moment at which a later version of the order replaced the row")
}
TABLES: Mapping[str, Mapping[str, SourceColumn]] = {
    "order_lines": _COMMON
    | {"order_id": SourceColumn("string", "id of the order", "one order per customer and day")}
    | _PRODUCT
    | {
        "quantity": SourceColumn("int64", "number of items", None, required=True),
        "amount": SourceColumn(MONEY, "price paid for the line, after the discount", None, required=True),
        "discount": SourceColumn(MONEY, "discount on the line"),
    }
    | _REPLACED,
    "refunds": _COMMON
    | {"order_id": SourceColumn("string", "id of the order")}
    | _PRODUCT
    | {
        "quantity": SourceColumn("int64", "number of items", "1"),
        "amount": SourceColumn(MONEY, "money given back, above 0", None, required=True),
        "matched": SourceColumn("boolean", "whether its order line is known", "whether it has an order_id"),
    }
    | _REPLACED,
    "traits": _COMMON
    | {
        "name": SourceColumn("string", "name of the trait", None, required=True),
        "value": SourceColumn("string", "value as text; null clears the trait", None),
    },
    "activities": _COMMON
    | {
        "name": SourceColumn("string", "name of the event", None, required=True),
        "kind": SourceColumn(
            "string", "kind of the event", "by its name, if it is of the Segment specification"
        ),
        "channel": SourceColumn("string", "channel", "by the name"),
        "reference": SourceColumn("string", "id of its object: a message, a cart, a subscription, a ticket"),
    }
    | _PRODUCT
    | {
        "amount": SourceColumn(MONEY, "amount"),
        "properties": SourceColumn("string", "JSON of the event's properties"),
    },
}


def queries_of(home: Home, dialect: str) -> dict[str, str]:
    """The queries of a home, by event table; tables without a query have no rows.

    Args:
        dialect: sqlglot's name of the warehouse's SQL.

    Raises:
        PatronError: a file is missing, unknown, unreadable or not one SELECT.
    """
    folder = home.warehouse_queries
    files = {path.stem: path for path in sorted(folder.glob("*.sql"))}
    if "order_lines" not in files:
        raise PatronError(
            f"there is no {folder / 'order_lines.sql'}; write a SELECT with the columns that"
            " docs/operating.md lists under “A lake in a warehouse”"
        )
    if unknown := [name for name in files if name not in TABLES]:
        raise PatronError(f"{files[unknown[0]]} is no event table; use {', '.join(TABLES)}")
    queries = {}
    for name, path in files.items():
        try:
            queries[name] = one_select(path.read_text(encoding="utf-8"), dialect)
        except (OSError, UnicodeDecodeError, PatronError) as error:
            reason = error if isinstance(error, PatronError) else "it cannot be read"
            raise PatronError(f"{path}: {reason}") from error
    return queries


def one_select(text: str, dialect: str) -> str:
    """A query without a semicolon at its end.

    Raises:
        PatronError: it is not one SELECT.
    """
    try:
        parsed = sqlglot.parse(text, read=dialect)
    except sqlglot.errors.SqlglotError as error:
        raise PatronError("it is not understood as SQL") from error
    statements = [part for part in parsed if part is not None and not isinstance(part, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise PatronError("it must be one SELECT")
    return statements[0].sql(dialect)


def generation(queries: Mapping[str, str], shop: Shop) -> str:
    """A digest of the queries, the shop's days and the choice of medians; snapshots are stored under it."""
    text = repr((sorted(queries.items()), shop.time_zone)) + ("approximate" if shop.approximate else "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]
