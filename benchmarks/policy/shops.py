"""Simulated shops whose customers' true probabilities are known, and the decisions for them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa

from core.calendar import midnight
from core.home import Home
from core.shop import Clock, Shop
from decisions.catalogue.actions import EXAMPLE, NOTHING, Action, Actions
from decisions.catalogue.file import parse
from events import lake
from events.simulation.simulate import simulate
from events.simulation.truth import Plan, ShopTime
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from features.workspace import Workspace
from models import questions as catalogue
from models.registry import promotion
from models.registry.registry import Registry
from records import runs
from records.decision import Decision
from records.decisions import DecisionLog
from records.tables import salts
from serving.decisions.to_file import RecommendRequest, recommend_everyone
from training.customers.pipeline import train

CUSTOMERS, YEARS = 2500, 2.5
TODAY = date(2024, 7, 1)
RULES: Actions = parse(EXAMPLE.read_bytes(), EXAMPLE.name)
ACTIONS: Mapping[str, Action] = {action.name: action for action in RULES.actions}


@dataclass(frozen=True)
class Customer:
    """The truth about one customer, as of today.

    Attributes:
        orders: probability of at least one order within the horizon of propensity.
        churns: probability of none within the horizon of churn.
        if_any: currency that an order within propensity's horizon brings, further orders in it included.
        stays: currency within the value horizon from who does not churn.
        stays_soon: the part of it within the horizon of churn.
    """

    orders: float
    churns: float
    if_any: float
    stays: float
    stays_soon: float

    def worth(self, name: str) -> float:
        """The change of the expected profit by an action, in currency."""
        if name == NOTHING:
            return 0.0
        action, margin = ACTIONS[name], RULES.margin
        if action.effect.on == "propensity":
            after = action.effect.after(self.orders)
            gain = (after * (margin - action.discount) - self.orders * margin) * self.if_any
        else:
            after = action.effect.after(self.churns)
            gain = (self.churns - after) * margin * self.stays - (
                1 - after
            ) * action.discount * self.stays_soon
        return gain - action.cost


Known = tuple[list[Decision], dict[int, Customer]]


def examine(seed: int) -> Known:
    """Everyone's decision in the shop of a seed, and the truth about everyone."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        plan = make_shop(home, seed)
        decisions = decide(home, seed)
        scores = decisions[0].choice.scores.items()
        return decisions, truth(home, plan, {name: score["horizon_days"] for name, score in scores})


def make_shop(home: Home, seed: int) -> Plan:
    """A simulated shop that stands still today, with its models trained and the example's actions."""
    start = TODAY - timedelta(days=round(YEARS * 365.25))
    plan = Plan(start=start, seed=seed, customers=CUSTOMERS, years=YEARS)
    now = midnight(TODAY, plan.time_zone)
    backend = lake.connect()
    simulate(backend.con, plan, now)
    lake.write(
        home,
        backend.con,
        plan.time_zone,
        {"source": "simulate", "plan": asdict(plan) | {"start": str(start)}},
    )
    home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(now)))
    built = snapshots.build(home)
    store, registry = Store(home), Registry(home)
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    for model in catalogue.MODELS.values():
        version = train(Workspace(home, built), model, registry)
        if not version.champion:
            print(f"seed {seed}: {model.name} is promoted by hand: {'; '.join(version.failed_gates)}")
            promotion.promote(registry, model.name, version.version, "decisions are measured", force=True)
    # Declared effects are true here whatever the channel.
    without = 'factors_off = ["channel_preference"]\n'
    home.actions.write_text(without + EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return plan


def decide(home: Home, seed: int) -> list[Decision]:
    """Everyone's decision, as the log has it."""
    with DecisionLog(home) as log, log.writing() as connection:
        connection.execute(sa.update(salts).values(salt=bytes([seed] * 32)))  # the same draws each time
    done = recommend_everyone(home, RecommendRequest(out=home.path / "actions.ndjson"))
    with DecisionLog(home) as log:
        return [decision for _, decision in runs.rows(log, done["run_id"], 0, done["customers"])]


def truth(home: Home, plan: Plan, horizons: Mapping[str, int]) -> dict[int, Customer]:
    """What is true of everyone, by key; see :mod:`events.simulation.truth` for the process.

    Args:
        horizons: days ahead, by model, as the versions that answered have them.
    """
    now = midnight(TODAY, plan.time_zone)
    horizons = dict(horizons) | {"value": RULES.value_horizon_days}
    horizons["soon"] = min(horizons["value"], horizons["churn"])
    most = max(horizons.values())
    time, today = ShopTime.of(plan, now + timedelta(days=most + 2)), (TODAY - plan.start).days
    known = {}
    for row in pq.read_table(lake.current(home).folder / "truth.parquet").to_pylist():
        mass = time.mass + plan.campaign_lift * row["discount_sensitivity"] * time.campaign_mass
        # The expected number of orders ahead of who does not drop out, and when they drop out after each.
        rate = {
            n: row["purchase_rate_per_day"] * (mass[today + days] - mass[today])
            for n, days in horizons.items()
        }
        drops, back = row["dropout_probability"], row["refund_probability"] * plan.refund_dropout
        ends = drops + (1 - drops) * back
        active = row["dropped_out_at"] is None
        some, none = -np.expm1(-rate["propensity"]), float(np.exp(-rate["churn"]))
        known[row["customer_key"]] = Customer(
            orders=float(some) if active else 0.0,
            churns=none if active else 1.0,
            if_any=row["order_value_mean"] * expected_orders(rate["propensity"], ends) / float(some),
            # Who orders within the value horizon also orders within churn's, which is longer.
            stays=row["order_value_mean"] * expected_orders(rate["value"], ends) / (1 - none),
            stays_soon=row["order_value_mean"] * expected_orders(rate["soon"], ends) / (1 - none),
        )
    return known


def expected_orders(rate: float, ends: float) -> float:
    """Expected orders of a Poisson process of which each order is the last with probability ``ends``."""
    return float(-np.expm1(-ends * rate) / ends)
