"""Medians for warehouses without an exact one: refused by name, or approximated by choice."""

from __future__ import annotations

from typing import Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from core.errors import PatronError

WITHOUT = {"bigquery": "BigQuery"}
"""The warehouses without an exact median, by Ibis' name."""


def suited(table: ir.Table, engine: str, approximate: bool) -> ir.Table:
    """An expression that an engine can compute.

    Args:
        engine: Ibis' name of it.
        approximate: whether the shop permits approximate medians.

    Raises:
        PatronError: it needs an exact median; the message names its columns.
    """
    if engine not in WITHOUT:
        return table
    if approximate:
        return approximated(table)
    if columns := _columns(table):
        raise PatronError(
            f"{WITHOUT[engine]} has no exact median, which {', '.join(columns)} needs; write"
            " approximate = true under [warehouse] in home.toml to permit approximate ones, and train the"
            " models again"
        )
    return table


def approximated(table: ir.Table) -> ir.Table:
    """The same expression with an approximate median in place of each exact one."""
    expression: ir.Table = table.op().replace(_approximate).to_expr()
    return expression


def _approximate(node: Any, changed: dict[str, Any] | None) -> Any:
    if changed is not None:
        node = node.__recreate__(changed)
    if not isinstance(node, ops.Median):
        return node
    return ops.Cast(ops.ApproxMedian(node.arg, node.where), node.dtype)


def _columns(table: ir.Table) -> list[str]:
    """The columns that are exact medians."""
    aggregates = table.op().find(ops.Aggregate)
    return sorted({n for of in aggregates for n, value in of.metrics.items() if value.find(ops.Median)})
