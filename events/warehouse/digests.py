"""A digest of the rows of each customer in a warehouse: equal unless a row is new, changed or gone.

A company may correct or delete a row without a new ``received_at``, so that times of arrival alone do not
tell whose rows have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ibis
import ibis.expr.types as ir

from events.schema import Events

DIGESTS = {"customer_key": "int64", "digest": "int64"}
_BITS = 40  # of each row: a customer with eight million rows has a sum of 63 bits
_BETWEEN, _NULL = "\x1f", "\x1e"


@ibis.udf.scalar.builtin(name="hashtextextended", signature=(("string", "int64"), "int64"))
def _hash_text(text, seed):  # type: ignore[no-untyped-def]
    """PostgreSQL's."""


@ibis.udf.scalar.builtin(name="sipHash64", signature=(("string",), "uint64"))
def _sip_hash(text):  # type: ignore[no-untyped-def]
    """ClickHouse's."""


_HASHES: Mapping[str, Callable[[ir.StringValue], ir.IntegerValue]] = {
    "postgres": lambda text: _hash_text(text, 0),
    "clickhouse": _sip_hash,
}
"""By Ibis' name of the warehouse."""


def digests(events: Events, engine: str) -> ir.Table | None:
    """The digest of each customer who has events, by ``customer_key``; None if the engine computes none.

    Args:
        engine: Ibis' name of it.
    """
    hashed = _HASHES.get(engine)
    if hashed is None:
        return None
    parts = [
        table.select("customer_key", digest=(hashed(_text(name, table)) & (2**_BITS - 1)).cast("int64"))
        for name, table in events.items()
    ]
    rows = ibis.union(*parts, distinct=False)
    return rows.group_by("customer_key").aggregate(digest=rows.digest.sum())


def _text(name: str, rows: ir.Table) -> ir.StringValue:
    """All values of a row as one text."""
    values = [rows[column].cast("string").fill_null(_NULL) for column in rows.columns]
    text: ir.StringValue = ibis.literal(_BETWEEN).join([ibis.literal(name), *values])
    return text
