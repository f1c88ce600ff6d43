"""Rules over all customers: features as of the last build, scores of the newest whole score jobs.

A decision reads a customer's features and scores of the moment; the counts here are those of the last build,
so the two differ by the events since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from core.storage import duckdb_engine, sql
from decisions.rules.expression import expression
from decisions.rules.tree import Rule, Term
from features.offline.current import current_files
from records.batches import KEY, SCORE
from records.score_jobs import ScoreJobStore

Mask = NDArray[np.bool_]
_TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN"}


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
        everyone = ibis.table(ibis.Schema.from_pyarrow(self.table.schema), name="everyone")
        inside = {
            f"r{i}": expression(rule, everyone, self.today, self.facts_day).fill_null(False)
            for i, rule in enumerate(rules.values())
        }
        if not inside:
            return {}
        query = everyone.mutate(**inside).order_by(KEY).select(*inside)
        backend = duckdb_engine.connect()
        try:
            backend.con.register("everyone", self.table)
            result = backend.con.execute(str(ibis.to_sql(query, dialect="duckdb"))).to_arrow_table()
        finally:
            backend.disconnect()
        return {name: np.asarray(result[f"r{i}"]) for i, name in enumerate(rules)}


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
    wanted = {term.name: term for term in read}
    as_of, files = current_files(home)
    jobs = ScoreJobStore(home)
    scored = {name: jobs.newest_whole(name) for name, term in wanted.items() if term.is_score}
    sources = [_feature_source(path, wanted) for path in files.values()]
    for job in {job.id: job for job in scored.values() if job is not None}.values():
        parts = [jobs.part(job, chunk) for chunk in range(job.chunks)]
        columns = {name: f"{name}{SCORE}" for name, newest in scored.items() if newest == job}
        sources.append(_Source(parts, columns))
    try:
        table = _joined(sources, wanted)
    except (OSError, duckdb.Error) as error:
        raise PatronError(
            "the features or scores of all customers cannot be read; run `patron build` and `patron score`"
        ) from error
    shop = home.shop()
    return Everybody(
        table, as_of, shop.today() if today is None else today, day_of(as_of, shop.time_zone),
        tuple(name for name, job in scored.items() if job is None),
    )  # fmt: skip


@dataclass(frozen=True)
class _Source:
    """Parquet files with a row per customer, and the column of each term in them."""

    paths: Sequence[Path]
    columns: Mapping[str, str]


def _feature_source(path: Path, wanted: Mapping[str, Term]) -> _Source:
    there = set(pq.read_schema(path).names)
    return _Source([path], {n: n for n, term in wanted.items() if not term.is_score and n in there})


def _joined(sources: Sequence[_Source], wanted: Mapping[str, Term]) -> pa.Table:
    """A row per customer of the first source, with a column per term; null where no source has it."""
    selected, joins = [f"s0.{KEY}"], []
    left = dict(wanted)
    for i, source in enumerate(sources):
        if i and not source.columns:
            continue
        files = ", ".join(sql.literal(path) for path in source.paths)
        names = ", ".join([KEY, *map(sql.name, source.columns.values())])
        join = f"(SELECT {names} FROM read_parquet([{files}])) s{i}"
        joins.append(join if not i else f"LEFT JOIN {join} ON s{i}.{KEY} = s0.{KEY}")
        for name, column in source.columns.items():
            del left[name]
            selected.append(f"s{i}.{sql.name(column)}::{_TYPES[wanted[name].dtype]} AS {sql.name(name)}")
    selected += [f"NULL::{_TYPES[term.dtype]} AS {sql.name(name)}" for name, term in left.items()]
    query = f"SELECT {', '.join(selected)} FROM {' '.join(joins)} ORDER BY s0.{KEY}"
    backend = duckdb_engine.connect()
    try:
        return backend.con.execute(query).to_arrow_table()
    finally:
        backend.disconnect()
