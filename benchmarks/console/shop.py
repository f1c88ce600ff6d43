"""A shop of a million customers: those of a simulated shop with its trained models, repeated."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from benchmarks.decisions import known_effect
from benchmarks.harness import homes
from commands.up import draft_actions
from core.home import Home
from core.shop import Clock, Shop
from core.storage import sql
from core.storage.duckdb_engine import connect
from decisions.catalogue import saved_audiences
from decisions.catalogue.file import load
from events import lake
from events.lake import shops, versions
from events.schema import SCHEMAS

VISITED_DAYS = 90
"""Visits and messages of so many days are repeated; with all of them, a build takes three times as long."""
DECIDED, DECIDED_DAYS = 20_000, 60
"""For so many customers an action was decided, so many days ago."""
AUDIENCES = {
    "leaving": "churn > 0.5 and clv > 200",
    "first_order": "orders_total = 1 and recency_days between 30 and 90",
    "curious": "lifecycle_stage = prospect and visits_30d >= 2",
}


def make(home: Home, customers: int) -> None:
    """Fill an empty home: simulate, train, repeat the customers, build, score, monitor, and compute results.

    It takes about a quarter of an hour.

    Raises:
        RuntimeError: a command failed; the text says why.
    """
    homes.build(home.path)
    draft_actions(home)
    repeat(home, customers)
    homes.run(home.path, ["build", "--no-monthly"])
    homes.run(home.path, ["score", "--out", str(home.path / "scores.parquet")])
    for name, rule in AUDIENCES.items():
        saved_audiences.put(home, name, {"rule": rule, "text": {"en": name}}, None)
    homes.run(home.path, ["monitor"], permitted=(0, homes.DRIFTED))
    decide(home)
    homes.run(home.path, ["results"])


def decide(home: Home) -> None:
    """Decisions of a while ago: an email for a half of some customers at random, and the holdout."""
    actions, shop = load(home), home.shop()
    email = next(action.name for action in actions.actions if action.channel == "email")
    at = shop.now() - timedelta(days=DECIDED_DAYS)
    share = actions.holdout_share or known_effect.SHARE
    experiment = known_effect.Experiment(at, shop.time_zone, share, email)
    known_effect.decide(home, np.random.default_rng(1), DECIDED, experiment)


def repeat(home: Home, customers: int) -> None:
    """Replace the events of a simulated shop by those of this number of customers; the models stay."""
    shop, folder = home.shop(), versions.current(home).folder
    connection = connect(home.path / "repeating").con
    traits = sql.literal(folder / "traits" / "*" / "*.parquet")
    (there,) = connection.execute(f"SELECT max(customer_key) FROM {traits}").fetchone() or (1,)
    for name, schema in SCHEMAS.items():
        columns = {column: column for column in schema if column not in ("customer_key", "day", "hour")}
        columns |= {c: f"{c} || '-' || copy" for c in ("order_id", "reference") if c in columns}
        selected = ", ".join(f"{expression} AS {column}" for column, expression in columns.items())
        recent = f"timestamp > now() - INTERVAL {VISITED_DAYS} DAY" if name == "activities" else "true"
        connection.execute(
            f"CREATE TABLE {name} AS"
            f" SELECT format('M{{:07d}}', customer_key + copy * {there}) AS customer_id, {selected}"
            f" FROM {sql.literal(folder / name / '*' / '*.parquet')}, range({-(-customers // there)}) t(copy)"
            f" WHERE customer_key + copy * {there} <= {customers} AND {recent}"
        )
    lake.write(home, connection, shop.time_zone, {"source": "synthetic"})
    connection.close()
    home.write_shop(Shop("synthetic", shop.time_zone, shop.currency, Clock(), home.tiers()))
    shops.remove_features(home)
