"""Rows of orders → ``classified``: every row with what it means, or the reason why it is rejected.

Beside the file's own columns ``classified`` has ``customer_id``, ``timestamp``, ``received_at``, ``day``
(the shop's), ``order_id``, ``product_id``, ``event_category``, ``quantity``, ``price``, ``amount`` (all as
written), ``currency``, ``total`` (what the row is worth in the shop's currency), ``off`` (its discount),
``is_return``, ``is_refunded`` and, of the order, what the mapping names.
"""

from __future__ import annotations

import duckdb

from core.storage import sql
from events.files import currencies, expressions
from events.files.mapping import Mapping
from events.files.orders_section import Match, OrdersSection
from events.files.reader import raw_column
from events.lake import staging

# Times outside these years are errors of the file; infinite ones too.
UNTIMELY = "(timestamp IS NULL OR NOT timestamp BETWEEN '1900-01-01' AND '2200-01-01')"
_MAX_AMOUNT, _MAX_QUANTITY = "1e12", "1e15"
ORDER_MONEY = (
    "order_total", "order_tax", "order_shipping", "order_discount", "refunded_amount", "order_refunded",
)  # fmt: skip


def classify_orders(connection: duckdb.DuckDBPyConnection, orders: OrdersSection, mapping: Mapping) -> None:
    """Make ``classified`` of ``raw`` and ``rates``."""
    connection.execute(
        f"""
        CREATE TABLE classified AS
        WITH parsed AS ({_parsed(orders, mapping)}),
        converted AS ({_converted(orders, mapping)}),
        priced AS (SELECT *, {_gross(orders)} AS gross FROM converted),
        valued AS ({_valued(orders, mapping)})
        SELECT *, CASE
            WHEN is_cancelled THEN 'cancelled'
            WHEN {_unreadable(orders)} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer'
            WHEN factor IS NULL THEN {_no_factor(mapping)}
            WHEN {_nonpositive_price(orders)} THEN 'price_not_positive'
            WHEN {_matches(orders.adjustments, mapping)} THEN 'adjustment'
            WHEN quantity = 0 OR (NOT is_return AND (quantity < 0 OR total < 0)) THEN 'not_a_sale'
            WHEN duplicate_of < row_number THEN 'duplicate'
        END AS reason FROM valued
        """
    )


def _parsed(orders: OrdersSection, mapping: Mapping) -> str:
    """The mapped columns as ids, moments and numbers."""
    file, zone = mapping.file, mapping.shop.time_zone

    def number(column: str | None, otherwise: str = "NULL::DOUBLE") -> str:
        return expressions.number(column, file) if column else otherwise

    discount = "0::DOUBLE"
    if orders.discount:
        read = expressions.share if orders.discount_as == "share" else expressions.number
        discount = f"CASE WHEN {_blank(orders.discount)} THEN 0 ELSE {read(orders.discount, file)} END"
    further = "".join(f", {number(getattr(orders, role))} AS {role}" for role in ORDER_MONEY)
    return f"""
        SELECT *, {expressions.customer(orders.customer)} AS customer_id,
            {expressions.moment(orders.time, orders.time_formats, zone)} AS timestamp,
            {expressions.identifier(orders.order) if orders.order else "NULL::VARCHAR"} AS order_id,
            {expressions.identifier(orders.product) if orders.product else "NULL::VARCHAR"} AS product_id,
            {number(orders.amount)} AS amount, {number(orders.quantity, "1::DOUBLE")} AS quantity,
            {number(orders.unit_price)} AS price, {discount} AS discount{further},
            {_currency(orders, mapping)} AS currency
        FROM ({with_duplicates(orders.columns(), orders.identical_lines)})"""


def _blank(column: str) -> str:
    return f"coalesce({expressions.text(column)}, '') = ''"


def _currency(orders: OrdersSection, mapping: Mapping) -> str:
    """The currency of a row: as the text of its amount says, or its column, or the shop's."""
    own = sql.literal(mapping.shop.currency)
    column = f"upper({expressions.text(orders.currency)})" if orders.currency else own
    texts = [c for c in (orders.amount, orders.unit_price, orders.order_total) if c]
    stated = [currencies.stated(expressions.text(c), f"coalesce({column}, {own})") for c in texts]
    return f"coalesce({', '.join([*stated, column])})"


def _converted(orders: OrdersSection, mapping: Mapping) -> str:
    """Adds ``day`` and ``factor``: what a unit of the row's currency is worth; NULL where that is unknown."""
    zone = mapping.shop.time_zone
    received = (
        expressions.moment(orders.received_at, orders.time_formats, zone)
        if orders.received_at
        else "timestamp"
    )
    refunded = (
        expressions.moment(orders.refunded_at, orders.time_formats, zone)
        if orders.refunded_at
        else "timestamp"
    )
    factor = (
        "1::DOUBLE"
        if orders.no_amounts
        else f"CASE WHEN currency = {sql.literal(mapping.shop.currency)} THEN 1"
    )
    source = "dated"
    if not orders.no_amounts:
        if mapping.rates:
            source = "dated ASOF LEFT JOIN rates r ON dated.currency = r.code AND dated.day >= r.rate_day"
            factor += f" WHEN dated.day - r.rate_day <= {mapping.rates.max_age_days} THEN r.rate"
        factor += " END"
    return f"""
        WITH dated AS (SELECT *, {staging.local_day("timestamp", zone)} AS day,
            {received} AS received_at, coalesce({refunded}, timestamp) AS refunded_at FROM parsed)
        SELECT dated.*, {factor} AS factor FROM {source}"""


def _gross(orders: OrdersSection) -> str:
    """What the row says that it is worth, in its own currency."""
    if orders.no_amounts:
        return "0::DOUBLE"
    if orders.amount:
        return "amount"
    if orders.has_line_amounts:
        return "quantity * price"
    order = "PARTITION BY customer_id, coalesce(order_id, day::VARCHAR)"
    return f"coalesce(order_total, CASE WHEN max(order_total) OVER ({order}) IS NOT NULL THEN 0 END)"


def _valued(orders: OrdersSection, mapping: Mapping) -> str:
    """Adds the row's worth in the shop's currency, its discount, and what the mapping says of the row."""
    if orders.discount_as == "money":
        off = "abs(discount)"
    elif orders.amount_is == "before_discount":
        off = "abs(gross) * discount"
    else:  # what a share of the price before it was, of the price after it
        off = "CASE WHEN discount < 1 THEN abs(gross) * discount / (1 - discount) ELSE 0 END"
    total = (
        f"sign(gross) * {sql.not_below_zero(f'abs(gross) - {off}')}"
        if orders.amount_is == "before_discount"
        else "gross"
    )
    returned = "quantity < 0 OR gross < 0"
    if orders.returns:
        returned = expressions.matches(orders.returns, mapping.file)
    money = ", ".join(f"abs({role}) * factor AS {role}" for role in ORDER_MONEY)
    return f"""
        SELECT * REPLACE ({money}), {total} * coalesce(factor, 1) AS total,
            {off} * coalesce(factor, 1) AS off, coalesce({returned}, false) AS is_return,
            {_of_order(orders, orders.cancelled, mapping)} AS is_cancelled,
            {_of_order(orders, orders.refunded, mapping)} AS is_refunded,
            {expressions.category(orders, mapping.file)} AS event_category
        FROM priced"""


def _matches(match: Match | None, mapping: Mapping) -> str:
    return f"coalesce({expressions.matches(match, mapping.file)}, false)"


def _of_order(orders: OrdersSection, match: Match | None, mapping: Mapping) -> str:
    """Whether a row matches; where its cell is blank, as the other rows of its order say."""
    if match is None or orders.order is None:
        return _matches(match, mapping)
    own = f"nullif({expressions.text(match.column)}, '')"
    value = f"coalesce({own}, max({own}) OVER (PARTITION BY customer_id, order_id))"
    return f"coalesce({expressions.matches(match, mapping.file, value)}, false)"


def _unreadable(orders: OrdersSection) -> str:
    """Whether a time, number or id of the row cannot be read, as SQL."""
    needed = [name for name in ("order", "product") if getattr(orders, name)]
    ids = "".join(f" OR coalesce({name}_id, '') = ''" for name in needed)
    return (
        f"{UNTIMELY} OR total IS NULL OR NOT isfinite(total) OR abs(total) > {_MAX_AMOUNT}"
        f" OR quantity IS NULL OR NOT abs(quantity) <= {_MAX_QUANTITY} {ids}"
    )


def _no_factor(mapping: Mapping) -> str:
    """The reason of a row whose currency cannot be converted: a gap of the table, or no rate at all."""
    if mapping.rates is None:
        return "'other_currency'"
    return "CASE WHEN currency IN (SELECT code FROM rates) THEN 'no_rate' ELSE 'other_currency' END"


def _nonpositive_price(orders: OrdersSection) -> str:
    if not orders.has_line_amounts:
        return "false"
    limit = "<" if orders.free_lines == "keep" else "<="
    return f"price {limit} 0" if orders.unit_price else "gross = 0" if limit == "<=" else "false"


def with_duplicates(columns: list[str], identical_lines: str) -> str:
    """``raw`` with ``duplicate_of``: the first row that is the same in these columns, as SQL.

    It is the row itself where all identical lines are kept. The window stands before everything else that is
    computed of a row, since a window copies what it reads.
    """
    first = f"min(row_number) OVER (PARTITION BY {', '.join(map(raw_column, columns))})"
    return f"SELECT *, {'row_number' if identical_lines == 'all' else first} AS duplicate_of FROM raw"
