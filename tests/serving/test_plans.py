"""Plans of a trained shop: within budgets, as single decisions would choose, and without a trace."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from core.errors import NothingThere
from core.home import Home
from decisions.plans.problem import NOTHING_CHOSEN, Infeasible
from decisions.reasons import DecisionReason, Language
from decisions.results import newest_funnel
from records.decisions import DecisionLog
from records.job import Interrupted
from records.jobs import write_job
from records.plans.store import PlanStore
from records.runs import RunStore
from records.tables import decisions, salts
from serving.decisions.budgets.planned import NotReleasable
from serving.decisions.budgets.requests import steering_prices
from serving.decisions.decider import Decider
from serving.decisions.selection import select_keys
from serving.decisions.to_file import DecisionFile, open_decider
from serving.plans.planner import PlannedShop, plan_shop
from serving.plans.to_file import plan_everyone, release_plan
from serving.scores.scorer import open_scorer

LANGUAGES: tuple[Language, ...] = ("en", "zh")
HEAD = "margin = 0.4\nholdout_share = 0.1\nexploration_share = 0.0\n"
ACTIONS = """
[[actions]]
name = "letter"
channel = "post"
cost = 0.5
effect = { on = "propensity", plus = 0.1 }

[[actions]]
name = "coupon"
channel = "email"
cost = 0.01
discount = 0.05
rule = "newsletter and recency_days <= 400"
effect = { on = "propensity", times = 1.6 }

[[actions]]
name = "call"
channel = "phone"
cost = 2.0
rule = "churn > 30%"
effect = { on = "churn", times = 0.8 }
"""
BUDGETS = """
[[budgets]]
name = "march"
money = 60.0

[[budgets]]
name = "paper"
action = "letter"
contacts = 40

[channels.phone]
capacity_per_day = 5
"""


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("plans") / "home")
    home.actions.write_text(HEAD + ACTIONS + BUDGETS)
    with DecisionLog(home) as log, log.writing() as connection:
        connection.execute(sa.update(salts).values(salt=bytes(32)))
    return home


def planned(home: Home, money: float | None = None) -> PlannedShop:
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        return plan_of(decider, money)


def plan_of(decider: Decider, money: float | None = None) -> PlannedShop:
    rules = decider.rules()
    keys = select_keys(decider.scorer, None).tolist()
    return plan_shop(decider, decider.question(rules, None, "test"), rules, keys, money)


def test_a_plan_keeps_to_budgets_and_capacities_and_leaves_no_trace(home: Home) -> None:
    plan = planned(home)
    uses = {(use.name, use.kind): use for use in plan.plan.constraints}
    assert uses["march", "money"].used <= 60
    assert uses["paper", "contacts"].used <= 40
    assert uses["phone", "contacts"].used <= 5
    assert uses["march", "money"].binding
    assert plan.plan.expense == pytest.approx(plan.expense.sum(), rel=1e-5)
    assert plan.plan.expense > 50
    assert plan.plan.gap < 0.02
    with DecisionLog(home) as log, log.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(decisions)).scalar() == 0


def test_without_budgets_a_plan_chooses_as_single_decisions_do(home: Home) -> None:
    text = home.actions.read_text()
    home.actions.write_text(HEAD + ACTIONS)
    try:
        plan = planned(home)
        names = [action.name for action in plan.rules.actions]
        by_key = {
            key: "nothing" if row == NOTHING_CHOSEN else names[row]
            for key, row in zip(plan.keys, plan.plan.choice.tolist(), strict=True)
        }
        with DecisionLog(home) as log:
            decider = Decider(open_scorer(home, None), log)
            sample = decider.scorer.identity.ids(plan.keys[:150])
            made = decider.decide(sample, decider.question(plan.rules, None, "test"), plan.rules)
            differing = {d.customer_key for d in made if d.choice.action != by_key[d.customer_key]}
            assert differing == set()
            values = dict(zip(plan.keys, plan.value, strict=True))
            for decision in made:
                expected = decision.choice.expected_value
                assert values[decision.customer_key] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            # Who got an action today has had its contact: the plan leaves it out.
            contacted = {d.customer_key for d in made if d.choice.channel is not None}
            again = planned(home)
            left = dict(zip(again.keys, again.plan.choice.tolist(), strict=True))
            assert contacted
            assert {left[key] for key in contacted} == {NOTHING_CHOSEN}
            forget_decisions(log)
    finally:
        home.actions.write_text(text)


def test_the_command_reports_what_binds_and_writes_who_gets_what(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "plan.ndjson"
    done, lines = plan_everyone(home, out, 20.0, None, None, "en")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == done["contacts"]
    assert Counter(row["action"] for row in rows) == {a["action"]: a["customers"] for a in done["actions"]}
    assert sum(row["expense"] for row in rows) == pytest.approx(done["expense"], rel=1e-4)
    assert done["expense"] <= 20
    assert "budget budget: " in "\n".join(lines)
    assert "binding, one more would bring" in "\n".join(lines)
    assert lines[-1] == "  this is a preview: nothing was reserved or sent"
    assert lines[0] == f"plan {done['plan_id']}"


def test_a_plan_that_cannot_be_met_says_why(home: Home) -> None:
    with pytest.raises(Infeasible, match="the budget budget is 0"):
        planned(home, 0.0)


Ask = Callable[..., httpx.Response]


def wait_for(ask: Ask, path: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (state := ask(path).json())["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return dict(state)


def test_a_plan_is_made_and_released_once_over_http(
    home: Home, answering: Callable[[Home], AbstractContextManager[Ask]], refused: Callable[..., None]
) -> None:
    with answering(home) as ask:
        key = {"Idempotency-Key": "one"}
        body = {"budget": 20, "language": "zh"}
        started = ask("/v1/plans", method="POST", json=body, headers=key)
        assert started.status_code == 202, started.text
        path = started.headers["location"]
        state = wait_for(ask, f"{path}?rows=3")
        assert ask("/v1/plans", method="POST", json=body, headers=key).json()["plan_id"] == state["plan_id"]
        plan = state["plan"]
        assert plan["expense"] <= 20
        values = [row["expected_value"] for row in state["rows"]]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert {budget["name"] for budget in plan["budgets"]} == {"budget", "march", "paper", "phone"}
        assert state["release"] is None
        refused(ask("/v1/plans", method="POST", json={"segment": "value_tier:Z"}), "segment: ")
        released = ask(f"{path}/release", method="POST")
        assert released.status_code == 202, released.text
        run = f"/v1/recommendation-runs/{released.json()['run_id']}"
        wait_for(ask, run)
        again = ask(f"{path}/release", method="POST").json()
        assert again == ask(path).json()["release"]
        assert (again["total"], again["reserved"]) == (plan["contacts"], plan["contacts"])
        assert again["not_reserved"] == []
        rows = ask(f"{run}?limit=1000").json()["rows"]
        assert {row["how"] for row in rows} == {"planned"}
        assert Counter(r["action"] for r in rows) == {a["action"]: a["customers"] for a in plan["actions"]}
    with DecisionLog(home) as log:
        with log.reading() as connection:
            used = connection.execute(sa.text("SELECT SUM(contacts), SUM(money_micros) FROM spent")).one()
        assert used[0] == plan["contacts"]
        assert used[1] / 1e6 == pytest.approx(plan["expense"], rel=1e-3)
        decider = Decider(open_scorer(home, None), log)
        assert "budget" in {price.name for price in steering_prices(log)}
        # Single decisions leave the money to those who bring more.
        others = [key for key in plan_of(decider).keys if key not in {1}][:200]
        rules = decider.rules()
        made = decider.preview(
            decider.scorer.identity.ids(others), decider.question(rules, ["email"], "test"), rules
        )
        factors = [f for d in made for f in d.choice.reasons["factors"].values()]
        assert any(f["budget_price"] > 0 for f in factors)
        for f in factors:
            value = f["margin"] - f["discounts"] - f["contact_cost"] - f["acceptance_cost"]
            factor = f.get("channel_preference", 1) if value > 0 else 1
            assert f["priority"] == pytest.approx(value * factor - f["budget_price"])
        forget_decisions(log)


def test_a_release_counts_what_is_no_longer_permitted(home: Home, tmp_path: Path) -> None:
    done, _ = plan_everyone(home, None, 20.0, None, None, "en")
    plans = PlanStore(home)
    plan = plans.find(done["plan_id"])
    assert plan is not None
    first = next(iter(plans.planned(plan)))
    with open_decider(home) as decider:  # contacted meanwhile by a single decision
        rules = decider.rules()
        question = decider.question(rules, None, "test")
        (made,) = decider.decide(decider.scorer.identity.ids([first]), question, rules)
        assert made.choice.channel is not None
    state, lines = release_plan(home, plan.id, DecisionFile(out=tmp_path / "out.csv"))
    assert state["reserved"] == state["total"] - 1
    with DecisionLog(home) as log, pytest.raises(NothingThere):  # it decides nothing of other actions
        newest_funnel.read(log, 30)
    assert [(part["stage"], part["customers"]) for part in state["not_reserved"]] == [("within_limits", 1)]
    assert "1  not: reached a limit, or are left alone" in "\n".join(lines)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == state["reserved"] + 1
    assert release_plan(home, plan.id)[0] == state | {"files": []}
    with DecisionLog(home) as log:
        forget_decisions(log)


def test_an_interrupted_release_is_resumed_and_nobody_gets_two(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, _ = plan_everyone(home, None, None, None, None, "en")
    plan_id = done["plan_id"]
    release, batches = Decider.release, []

    def ends_in_the_second_batch(decider: Decider, *args: Any) -> Any:
        batches.append(args)
        if len(batches) == 2:
            raise Interrupted
        return release(decider, *args)

    monkeypatch.setattr(Decider, "release", ends_in_the_second_batch)
    release_plan(home, plan_id)
    monkeypatch.setattr(Decider, "release", release)
    with DecisionLog(home) as log:
        run = RunStore(log).find(plan_id)
        assert run is not None
        assert run.status == "interrupted"
    state, _ = release_plan(home, plan_id)
    assert state["reserved"] == state["total"] == done["contacts"]
    with DecisionLog(home) as log:
        with log.reading() as connection:
            rows = connection.execute(sa.select(decisions.c.customer_key)).scalars().all()
        assert len(rows) == len(set(rows)) == done["contacts"]
        forget_decisions(log)


def test_a_plan_of_other_actions_or_another_day_is_not_released(home: Home) -> None:
    text = home.actions.read_text()
    done, _ = plan_everyone(home, None, None, None, None, "en")
    try:
        home.actions.write_text(text.replace("cost = 2.0", "cost = 2.5"))
        with pytest.raises(NotReleasable, match="the actions have changed since the plan was made"):
            release_plan(home, done["plan_id"])
    finally:
        home.actions.write_text(text)
    plans = PlanStore(home)
    plan = plans.find(done["plan_id"])
    assert plan is not None
    write_job(plans.folder / plan.id, replace(plan, at=plan.at - timedelta(days=1)))
    with pytest.raises(NotReleasable, match="which is over; make a new plan"):
        release_plan(home, plan.id)


def test_a_plan_of_actions_that_are_over_says_so(home: Home) -> None:
    text = home.actions.read_text()
    over = ACTIONS.replace("cost =", "end = 2001-02-03\ncost =")
    home.actions.write_text(HEAD + over)
    try:
        done, lines = plan_everyone(home, None, None, None, None, "en")
        assert done["contacts"] == 0
        assert "  all actions are over; the last one ended on 2001-02-03" in lines
        assert done["notes"][0]["zh"] == "所有营销动作均已结束（最后一个于 2001-02-03 结束）"
    finally:
        home.actions.write_text(text)


def test_budgets_of_a_shop_whose_clock_stands_still_begin_anew_with_the_day_outside(home: Home) -> None:
    tomorrow = replace(home, wall=lambda: datetime.now(UTC) + timedelta(days=1))
    requests = []
    for each in (home, tomorrow):
        with DecisionLog(each) as log:
            decider = Decider(open_scorer(each, None), log)
            requests.append(decider.question(decider.rules(), None, "test"))
    today, later = requests
    assert today.day == later.day
    assert today.spending_day is not None
    assert later.spending_day == today.spending_day + 1


def test_single_decisions_keep_to_budgets_and_capacities(home: Home) -> None:
    text = home.actions.read_text()
    home.actions.write_text(HEAD + ACTIONS + BUDGETS.replace("contacts = 40", "contacts = 4"))
    try:
        with DecisionLog(home) as log:
            decider = Decider(open_scorer(home, None), log)
            rules = decider.rules()
            customers = dict(list(decider.scorer.identity.ids(range(1, 200)).items()))
            question = decider.question(rules, None, "test")
            previewed = decider.preview(customers, question, rules)
            made = decider.decide(customers, question, rules)
            assert [d.choice for d in made] == [d.choice for d in previewed]
            used = Counter(d.choice.action for d in made)
            assert used["letter"] == 4
            assert used["call"] <= 5
            stages = Counter(s for d in made for s in d.choice.reasons["stages"].values())
            assert stages["within_budget"] > 0
            reasons = {
                DecisionReason(*why[0]).words(language)
                for d in made
                for why in d.choice.reasons["not_offered"].values()
                if why[0][0] in ("capacity", "budget_contacts")
                for language in LANGUAGES
            }
            assert "the budget paper permits 4 contacts in all, and all are used" in reasons
            assert "预算“paper”共限联系 4 次，已用完" in reasons
            money = sum(d.choice.reservation.money for d in made if d.choice.reservation is not None)
            rows = log.spent(question).rows
            assert sum(row.money for row in rows) == pytest.approx(money, abs=1e-3)
            assert money <= 60
            # A plan of the same day has what is left.
            plan = plan_of(decider)
            left = {use.name: use.limit for use in plan.plan.constraints}
            assert left["paper"] == 0
            assert left["march"] == pytest.approx(60 - money, abs=1e-3)
            forget_decisions(log)
    finally:
        home.actions.write_text(text)


def forget_decisions(log: DecisionLog) -> None:
    """Make the home one that never decided."""
    with log.writing() as connection:
        for table in ("reservations", "decisions", "spending", "spent", "run_rows", "plan_releases"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
