"""Who may get which action, in columns: the checks that can refuse without the ledger of contacts.

The result is that of the same checks of :mod:`decisions.checks` for each customer alone, in whole columns.
The other checks need a customer's contacts; a plan applies the whole chain to the customers it chooses.
"""

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from decisions.catalogue.actions import Action, Actions
from decisions.checks import PolicyRequest
from decisions.rules.expression import expression
from decisions.rules.tree import terms


def eligible(features: pa.Table, facts_days: NDArray[np.int64], request: PolicyRequest) -> NDArray[np.bool_]:
    """Whether each action's channel, dates and rule permit it, by action and customer.

    Args:
        features: a column per feature and per model (its scores), null where missing, one row per customer.
        facts_days: per customer the shop's day as of which features count days.
    """
    rules, count = request.actions, features.num_rows
    permitted = np.zeros((len(rules.actions), count), bool)
    open_rows = [row for row, action in enumerate(rules.actions) if _is_open(action, request)]
    if not open_rows or not count:
        return permitted
    table = _with_terms(features, rules)
    backend = ibis.duckdb.connect()
    for day in np.unique(facts_days):
        places = np.flatnonzero(facts_days == day)
        rows = backend.create_table("customers", table.take(places), temp=True, overwrite=True)
        matches = {
            f"a{row}": expression(rules.targets[rules.actions[row].name], rows, request.day, int(day))
            for row in open_rows
        }
        matching = backend.to_pyarrow(rows.select(_place=rows._place, **matches).order_by("_place"))
        for row in open_rows:
            column = matching[f"a{row}"].fill_null(False)
            permitted[row, places] = column.to_numpy(zero_copy_only=False).astype(bool)
    backend.disconnect()
    return permitted


def _is_open(action: Action, request: PolicyRequest) -> bool:
    requested = request.channels is None or action.channel in request.channels
    return requested and not action.is_early(request.day) and not action.is_over(request.day)


def _with_terms(features: pa.Table, rules: Actions) -> pa.Table:
    """The columns that rules read, with nulls for those that the shop lacks, and the place of each row."""
    read = {term.name: term.dtype for rule in rules.targets.values() for term in terms(rule)}
    types = {"string": pa.string(), "boolean": pa.bool_()}
    columns = {
        name: features[name]
        if name in features.column_names
        else pa.nulls(features.num_rows, types.get(dtype, pa.float64()))
        for name, dtype in read.items()
    }
    return pa.table({"_place": pa.array(np.arange(features.num_rows)), **columns})
