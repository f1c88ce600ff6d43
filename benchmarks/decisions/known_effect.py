"""Small shops whose programme has a known effect, through the real tables of a home.

Customers order by a Poisson process, each with a rate of their own, and pay gamma distributed amounts. Each
has one decision at the start of the experiment: the holdout is left alone, and of the others a random half
gets an offer, which adds ``LIFT`` expected orders. Orders are in the lake; decisions, contacts and the
holdout are in the database. So the true effect per customer is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from core.home import Home
from core.shop import Clock, Shop
from decisions.catalogue.actions import NOTHING
from decisions.holdout import membership
from events import lake
from events.identity import Identity
from records.contacts import ledger
from records.contacts.contact import SENT, Contact
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import DecisionLog
from records.results import holdout
from records.tables import salts

ZONE, START, DAYS = "UTC", datetime(2026, 3, 1, 12, tzinfo=UTC), 60
NOW = START + timedelta(days=DAYS)
MARGIN, COST, CHANCE, SHARE = 0.4, 0.2, 0.5, 0.3
AMOUNT, SHAPE = 50.0, 2.0
LIFT = 0.25
"""Expected additional orders of a customer who gets the offer, within a week."""
ACTIONS = f"""
margin = {MARGIN}
holdout_share = {SHARE}
exploration_share = 1.0
[[actions]]
name = "offer"
channel = "email"
cost = {COST}
effect = {{ on = "propensity", times = 1.5 }}
"""


@dataclass(frozen=True)
class Truth:
    """What is true of a shop.

    Attributes:
        programme: the expected change of the net margin per customer who is not in the holdout, in currency.
        offer: of the offer against doing nothing, per decision.
    """

    programme: float
    offer: float


@dataclass(frozen=True)
class Experiment:
    """Decisions of one moment: an email at random, or nothing; the holdout is left alone.

    Attributes:
        zone: the shop's time zone. share: of the customers who are in the holdout. action: that of the email.
    """

    at: datetime
    zone: str
    share: float
    action: str


def make(home: Home, seed: int, customers: int) -> Truth:
    """Write the shop of a seed into an empty home."""
    rng = np.random.default_rng(seed)
    home.write_shop(Shop("simulate", ZONE, "EUR", Clock(NOW)))
    home.actions.write_text(ACTIONS, encoding="utf-8")
    rates = rng.gamma(0.8, 1.5, customers) / 365  # orders per day
    names = [f"c{n}" for n in range(customers)]
    Identity(home).assign(names)
    experiment = Experiment(START, ZONE, SHARE, "offer")
    decided = decide(home, rng, customers, experiment)
    chosen = {decision.customer_key for decision in decided if decision.choice.action != NOTHING}
    contacted = np.isin(np.arange(1, customers + 1), list(chosen))
    usual = rng.poisson(rates * (365 + DAYS))
    more = rng.poisson(LIFT, customers) * contacted
    at = [
        START + timedelta(days=float(day))
        for day in (*rng.uniform(-365, DAYS, usual.sum()), *rng.uniform(0.01, 6.9, more.sum()))
    ]
    who = np.repeat(np.tile(np.arange(customers), 2), np.concatenate([usual, more]))
    _write_orders(home, [names[n] for n in who], at, rng.gamma(SHAPE, AMOUNT / SHAPE, len(at)))
    offer = LIFT * AMOUNT * MARGIN - COST
    return Truth(CHANCE * offer, offer)


def decide(home: Home, rng: np.random.Generator, customers: int, experiment: Experiment) -> list[Decision]:
    """One decision for each of the first customers at the start; the email is sent at once."""
    keys, at, action = range(1, customers + 1), experiment.at, experiment.action
    with DecisionLog(home) as log:
        with log.writing() as connection:
            connection.execute(sa.update(salts).values(salt=rng.bytes(32)))
        salted = DecisionLog(home)
        holdout.declare(salted, experiment.share, at, at)
        holdouts = membership(salted, Identity(home), keys, at, experiment.zone)
        offered = rng.random(customers + 1) < CHANCE

        def choose(key: int, _contacts: Sequence[Contact], *_: object) -> Choice:
            if key in holdouts.held_out:
                return _choice(NOTHING, "holdout", {NOTHING: 1.0, action: 0.0})
            chances = {NOTHING: 1 - CHANCE, action: CHANCE}
            return _choice(action if offered[key] else NOTHING, "explored", chances)

        question = DecisionRequest(at, 0, None, "digest", "benchmark")
        decided = salted.decide(keys, question, choose, also_write=holdouts.enrol)
        with salted.writing() as connection:
            for decision in decided.values():
                ledger.record(connection, decision.id, SENT, at)
        salted.close()
    return list(decided.values())


def _choice(action: str, how: str, chances: dict[str, float]) -> Choice:
    channel, cost = (None, 0.0) if action == NOTHING else ("email", COST)
    return Choice(action, how, chances[action], 0.0, cost, channel, chances, {}, {"value_tier": "A"}, {})


def _write_orders(home: Home, names: list[str], at: list[datetime], amounts: np.ndarray) -> None:
    moments = [moment.replace(tzinfo=None) for moment in at]
    connection: duckdb.DuckDBPyConnection = lake.connect().con
    rows = pa.table(
        {
            "customer_id": names,
            "timestamp": pa.array(moments, pa.timestamp("us")),
            "received_at": pa.array(moments, pa.timestamp("us")),
            "order_id": [f"o{n}" for n in range(len(names))],
            "product_id": ["p"] * len(names),
            "category": ["c"] * len(names),
            "quantity": pa.array([1] * len(names), pa.int64()),
            "amount": [f"{amount:.2f}" for amount in amounts],
            "discount": ["0"] * len(names),
        }
    )
    connection.register("rows", rows)
    connection.execute("CREATE TABLE order_lines AS FROM rows")
    lake.write(home, connection, ZONE, {"source": "simulate"}, add=False)
