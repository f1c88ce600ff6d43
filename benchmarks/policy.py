"""What decisions are worth: `python -m benchmarks.policy`.

Five simulated shops of other seeds. In each the three models are trained and everyone is decided for by
the example's actions, all by the code that a shop runs; a version that so small a shop cannot prove better
than the simplest baseline is promoted by hand. The assumed effects are then true by definition: each changes
the customer's *true* probability exactly as declared. The profit is its expectation under that truth and not
a draw, so nothing but the shops differs between the policies compared:

- ours: the option of the highest expected value by the scores; also with control and exploration;
- random: a permitted option, nothing among them, each alike;
- cheapest: the cheapest permitted action;
- propensity alone: as many contacts as ours, to those of the highest propensity, each with the strongest
  permitted offer (the one that raises the propensity most);
- one campaign: the one action, chosen in hindsight, that earns most when all who are permitted get it;
- the limit: the best permitted option for who knows the truth.

All keep to the same rules, and doing nothing is worth 0. Differences come with their 95 % interval over
the shops (Student's t).
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa
from scipy import stats

from benchmarks.report import Result, publish
from core.calendar import midnight
from core.home import Clock, Home, Shop
from decisions.actions import EXAMPLE, NOTHING, Action, Actions
from decisions.actions_file import parse
from events.lake import read_write as lake
from events.simulation.simulate import simulate
from events.simulation.truth import Plan, ShopTime
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from models import questions as catalogue
from models.registry import promotion
from models.registry.registry import Registry
from records import runs
from records.decisions import Decision, DecisionLog, salts
from serving.decisions.to_file import recommend_everyone
from training.customers.pipeline import train

SEEDS = (1, 2, 3, 4, 5)
CUSTOMERS, YEARS = 2500, 2.5
TODAY = date(2024, 7, 1)
RULES: Actions = parse(EXAMPLE.read_bytes(), EXAMPLE.name)
ACTIONS: Mapping[str, Action] = {action.name: action for action in RULES.actions}
OTHERS = ("random", "cheapest", "propensity alone", "one campaign", "nothing")


@dataclass(frozen=True)
class Customer:
    """The truth about one customer, as of today.

    Attributes:
        orders: probability of at least one order within the horizon of propensity.
        churns: probability of none within the horizon of churn.
        if_any: currency that an order within propensity's horizon brings, further orders in it included.
        stays: currency within the horizon of clv from who does not churn.
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


def main() -> int:
    """Simulate, train, decide and compare; two shops at a time."""
    shops: list[Known] = []
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for seed, shop in zip(SEEDS, processes.map(examine, SEEDS), strict=True):
            profits = ", ".join(f"{name} {profit(*shop):.3f}" for name, profit in POLICIES.items())
            print(f"  shop {seed}: {len(shop[0]):,} customers, EUR per customer: {profits}", flush=True)
            shops.append(shop)
    results = compare(shops) | probabilities([d for decisions, _ in shops for d in decisions])
    publish("policy", results)
    return 0


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
        version = train(home, model, built, store, registry)
        if not version.champion:
            print(f"seed {seed}: {model.name} is promoted by hand: {'; '.join(version.refusals)}")
            promotion.promote(registry, model.name, version.version, "decisions are measured", force=True)
    home.actions.write_bytes(EXAMPLE.read_bytes())
    return plan


def decide(home: Home, seed: int) -> list[Decision]:
    """Everyone's decision, as the log has it."""
    with DecisionLog(home) as log, log.writing() as connection:
        connection.execute(sa.update(salts).values(salt=bytes([seed] * 32)))  # the same draws each time
    done = recommend_everyone(home, home.path / "actions.ndjson", None, None, "en")
    with DecisionLog(home) as log:
        return [decision for _, decision in runs.rows(log, done["run_id"], 0, done["customers"])]


def truth(home: Home, plan: Plan, horizons: Mapping[str, int]) -> dict[int, Customer]:
    """What is true of everyone, by key; see :mod:`events.simulation.truth` for the process.

    Args:
        horizons: days ahead, by model, as the versions that answered have them.
    """
    now, most = midnight(TODAY, plan.time_zone), max(horizons.values())
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
        # Of a year's orders those of who orders within churn's horizon: all but of who first orders later.
        later = none * _orders(rate["clv"] - rate["churn"], ends)
        known[row["customer_key"]] = Customer(
            orders=float(some) if active else 0.0,
            churns=none if active else 1.0,
            if_any=row["order_value_mean"] * _orders(rate["propensity"], ends) / float(some),
            stays=row["order_value_mean"] * (_orders(rate["clv"], ends) - later) / (1 - none),
            stays_soon=row["order_value_mean"] * _orders(rate["churn"], ends) / (1 - none),
        )
    return known


def _orders(rate: float, ends: float) -> float:
    """Expected orders of a Poisson process of which each order is the last with probability ``ends``."""
    return float(-np.expm1(-ends * rate) / ends)


Shares = Mapping[str, float]
Policy = Callable[[Sequence[Decision], Mapping[int, Customer]], float]


def _profit(choose: Callable[[Decision, Customer], Shares]) -> Policy:
    """Of a policy that gives each customer's options their probabilities: mean profit per customer."""

    def profit(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
        total = 0.0
        for decision in decisions:
            customer = known[decision.customer_key]
            total += sum(p * customer.worth(name) for name, p in choose(decision, customer).items())
        return total / len(decisions)

    return profit


def _ours(decision: Decision, _customer: Customer) -> Shares:
    """The best option, as the policy judged it before it drew."""
    values = {option["action"]: option["value"] for option in decision.choice.reasons["runners_up"]}
    values[decision.choice.action] = decision.choice.expected_value
    return {max(values, key=lambda name: values[name]): 1.0}


def _random(decision: Decision, _customer: Customer) -> Shares:
    permitted = decision.choice.probabilities
    return dict.fromkeys(permitted, 1 / len(permitted))


def _cheapest(decision: Decision, _customer: Customer) -> Shares:
    permitted = [name for name in decision.choice.probabilities if name != NOTHING]
    return {min(permitted, key=lambda name: (ACTIONS[name].cost, name)): 1.0} if permitted else {}


def _knowing(decision: Decision, customer: Customer) -> Shares:
    return {max(decision.choice.probabilities, key=customer.worth): 1.0}


def _propensity_alone(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
    contacts = sum(NOTHING not in _ours(d, known[d.customer_key]) for d in decisions)
    offers = []
    for decision in decisions:
        score = decision.choice.scores["propensity"]["score"]
        raised = {
            name: ACTIONS[name].effect.after(score)
            for name in decision.choice.probabilities
            if name != NOTHING and ACTIONS[name].effect.on == "propensity"
        }
        if raised:
            strongest = max(raised, key=lambda name: raised[name])
            offers.append((score, known[decision.customer_key].worth(strongest)))
    offers.sort(reverse=True)
    return sum(worth for _, worth in offers[:contacts]) / len(decisions)


def _one_campaign(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
    totals = dict.fromkeys(ACTIONS, 0.0)
    for decision in decisions:
        for name in decision.choice.probabilities:
            if name != NOTHING:
                totals[name] += known[decision.customer_key].worth(name)
    return max(totals.values()) / len(decisions)


POLICIES: Mapping[str, Policy] = {
    "ours": _profit(_ours),
    "with control and exploration": _profit(lambda decision, _: decision.choice.probabilities),
    "random": _profit(_random),
    "cheapest": _profit(_cheapest),
    "propensity alone": _propensity_alone,
    "one campaign": _one_campaign,
    "nothing": lambda *_: 0.0,
    "limit": _profit(_knowing),
}


def compare(shops: Sequence[Known]) -> dict[str, Result]:
    """Mean profits, and the differences of ours with their intervals over the shops."""
    profits = {name: np.array([profit(*shop) for shop in shops]) for name, profit in POLICIES.items()}
    unit = "EUR per customer"
    best = max(OTHERS, key=lambda name: float(profits[name].mean()))
    results = {
        name.replace(" ", "_"): Result(
            float(profits[name].mean()), unit, float(profits[best].mean()), float(profits["limit"].mean()),
            better="higher",
        )
        for name in ("ours", "with control and exploration")
    }  # fmt: skip
    for name in OTHERS:
        differences = profits["ours"] - profits[name]
        mean = float(differences.mean())
        half = float(stats.t.ppf(0.975, len(shops) - 1) * differences.std(ddof=1) / len(shops) ** 0.5)
        print(f"  ours less {name}: {mean:+.3f} (95 % interval {mean - half:+.3f} to {mean + half:+.3f})")
        for suffix, value in {"": mean, "_low": mean - half, "_high": mean + half}.items():
            results[f"over_{name.replace(' ', '_')}{suffix}"] = Result(value, unit, better="higher")
    return results


def probabilities(decisions: Sequence[Decision]) -> dict[str, Result]:
    """How far the shares of the actions chosen are from the probabilities that the log holds."""
    off, deviations = 0.0, []
    for name in (NOTHING, *ACTIONS):
        p = np.array([decision.choice.probabilities.get(name, 0.0) for decision in decisions])
        seen = sum(decision.choice.action == name for decision in decisions)
        off = max(off, abs(seen - p.sum()) / len(decisions))
        deviations.append(float((seen - p.sum()) / np.sqrt((p * (1 - p)).sum())))
        print(f"  {name}: chosen {seen:,} times, {p.sum():,.1f} by the log's probabilities")
    return {
        "share_off_probability": Result(off, "share of decisions"),
        "share_off_in_deviations": Result(max(map(abs, deviations)), "standard deviations"),
    }


if __name__ == "__main__":
    sys.exit(main())
