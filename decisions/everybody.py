"""Rules over all customers: features as of the last build, scores of the newest whole score jobs.

A decision reads a customer's features and scores of the moment; the counts here are those of the last build,
so the two differ by the events since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from core.storage import duckdb_engine
from core.storage.customer_columns import CustomerTable
from decisions.rules.expression import expression
from decisions.rules.tree import Rule, Term
from features.offline.current import current_files
from records.batches import KEY, SCORE
from records.score_jobs import ScoreJob, ScoreJobStore

Mask = NDArray[np.bool_]
BATCH = 1 << 16  # rows
_TYPES = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}


@dataclass(frozen=True)
class Everybody:
    """What rules read of all customers.

    Attributes:
        table: ``customer_key`` and a column per term, a row per customer, in the order of keys.
        as_of: the moment of the features.
        today: the shop's day for which dates are evaluated. facts_day: the day of ``as_of``.
        unscored: the models that are read and have no whole score job; their scores are missing.
    """

    table: pa.Table
    as_of: datetime
    today: int
    facts_day: int
    unscored: tuple[str, ...]

    @property
    def keys(self) -> NDArray[np.int64]:
        """The keys of the customers."""
        return np.asarray(self.table[KEY])

    def matching(self, rules: Mapping[str, Rule]) -> dict[str, Mask]:
        """By name of a rule, whether each customer is inside."""
        if not rules:
            return {}
        everyone = ibis.table(ibis.Schema.from_pyarrow(self.table.schema), name="everyone")
        inside = {f"r{i}": mask for i, mask in enumerate(self._masks(everyone, rules))}
        result = _result(self.table, everyone.select(**inside))  # keeps the order of rows
        return {name: np.asarray(result[f"r{i}"]) for i, name in enumerate(rules)}

    def counts(self, rules: Mapping[str, Rule], others: Mapping[str, Mask], value: str) -> list[RuleCounts]:
        """The sizes of rules, counted without a list of their customers.

        Args:
            others: sets of customers that each rule shares customers with, by name.
            value: a column that is summed.
        """
        if not rules:
            return []
        table = self.table
        for i, mask in enumerate(others.values()):
            table = table.append_column(f"o{i}", pa.array(mask))
        everyone = ibis.table(ibis.Schema.from_pyarrow(table.schema), name="everyone")
        masks = {f"r{i}": mask for i, mask in enumerate(self._masks(everyone, rules))}
        shared = {name: f"o{i}" for i, name in enumerate(others)}
        columns = [everyone[column] for column in shared.values()]
        masked = everyone.select(*columns, **masks, value=everyone[value].fill_null(0.0))
        known = ~masked["value"].isnan()
        sums: dict[str, ir.Value] = {}
        for name in masks:
            sums[name] = masked[name].sum()
            sums[f"{name}_value"] = masked["value"].sum(where=masked[name] & known)
            sums |= {f"{name}_{other}": (masked[name] & masked[other]).sum() for other in shared.values()}
        (row,) = _result(table, masked.aggregate(**sums)).to_pylist()
        return [
            RuleCounts(
                int(row[name] or 0),
                row[f"{name}_value"] or 0.0,
                {other: int(row[f"{name}_{place}"] or 0) for other, place in shared.items()},
            )
            for name in masks
        ]

    def _masks(self, everyone: ir.Table, rules: Mapping[str, Rule]) -> list[ir.BooleanValue]:
        today, facts_day = self.today, self.facts_day
        return [expression(rule, everyone, today, facts_day).fill_null(False) for rule in rules.values()]


@dataclass(frozen=True)
class RuleCounts:
    """The customers of a rule.

    Attributes:
        value: the sum of a column over them. shared: by name of another set, how many it has too.
    """

    customers: int
    value: float
    shared: Mapping[str, int]


@dataclass(frozen=True)
class EverybodyFiles:
    """Where everybody's features and scores are; equal while nothing was built or scored.

    Attributes:
        features: of each group; the first has the customers.
        jobs: by model its newest whole score job; None if there is none.
        as_of, today, facts_day: as of :class:`Everybody`.
    """

    features: tuple[CustomerTable, ...]
    jobs: tuple[tuple[str, CustomerTable | None], ...]
    as_of: datetime
    today: int
    facts_day: int

    @property
    def customers(self) -> int:
        """The number of all customers."""
        return len(self.features[0].keys())

    def load(self, read: Iterable[Term]) -> Everybody:
        """What rules read of all customers.

        Args:
            read: the terms that the rules read.

        Raises:
            PatronError: the features or the scores cannot be read.
        """
        wanted = {term.name: term for term in read}
        scored = {name: job for name, job in self.jobs if name in wanted and wanted[name].is_score}
        with _readable():
            first = self.features[0]
            groups = {name: table for table in self.features for name in table.schema.names}
            columns: dict[str, pa.Array] = {KEY: pa.array(first.keys())}
            for name, term in wanted.items():
                table = scored[name] if term.is_score else groups.get(name)
                stored = f"{name}{SCORE}" if term.is_score else name
                columns[name] = (
                    pa.nulls(len(first.keys()), _TYPES[term.dtype])
                    if table is None
                    else table.column(stored, first).cast(_TYPES[term.dtype])
                )
        unscored = tuple(name for name, job in scored.items() if job is None)
        return Everybody(pa.table(columns), self.as_of, self.today, self.facts_day, unscored)


def find_everybody(home: Home, models: Iterable[str], today: int | None = None) -> EverybodyFiles:
    """Where the features of all customers and their scores by these models are.

    Args:
        today: the shop's day; the present one for None.

    Raises:
        NothingThere: nothing was built yet.
        PatronError: the features or the scores cannot be read.
    """
    as_of, files = current_files(home)
    store, shop = ScoreJobStore(home), home.shop()
    newest = {name: store.newest_whole(name) for name in sorted({*models})}
    with _readable():
        return EverybodyFiles(
            tuple(CustomerTable.of([path]) for path in files.values()),
            tuple((name, None if job is None else _parts(store, job)) for name, job in newest.items()),
            as_of,
            shop.today() if today is None else today,
            day_of(as_of, shop.time_zone),
        )


def load_everybody(home: Home, read: Iterable[Term], today: int | None = None) -> Everybody:
    """What rules read of all customers of a home.

    A feature that was declared after the last build is missing for everybody.

    Args:
        read: the terms that the rules read.
        today: the shop's day; the present one for None.

    Raises:
        NothingThere: nothing was built yet.
        PatronError: the features or the scores cannot be read.
    """
    terms = [*read]
    return find_everybody(home, (term.name for term in terms if term.is_score), today).load(terms)


def _parts(store: ScoreJobStore, job: ScoreJob) -> CustomerTable:
    return CustomerTable.of(store.part(job, chunk) for chunk in range(job.chunks))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise PatronError(
            "the features or scores of all customers cannot be read; run `patron build` and `patron score`"
        ) from error


def _result(table: pa.Table, query: ir.Table) -> pa.Table:
    """The result of a query of ``everyone``."""
    batches = table.to_batches(max_chunksize=BATCH)  # DuckDB reads them in parallel
    backend = duckdb_engine.connect()
    try:
        backend.con.register("everyone", pa.Table.from_batches(batches, table.schema))
        return backend.con.execute(str(ibis.to_sql(query, dialect="duckdb"))).to_arrow_table()
    finally:
        backend.disconnect()
