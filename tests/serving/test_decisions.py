"""Next best actions over HTTP: decided, logged and answered; outcomes; runs for everybody in a segment."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pandas as pd
import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from python_calamine import CalamineWorkbook

import records as logs
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from decisions.catalogue.actions import EXAMPLE
from decisions.results import newest_funnel
from events import lake
from events.identity import Identity
from events.journal import Message, append
from events.segment.translate import Place, translate
from features.groups import GROUPS
from features.groups.segment_rules import RFM, STAGES
from features.offline.snapshot_set import SnapshotSet
from records import ScoreLog
from records.decisions import DecisionLog
from records.job import COMMAND, SERVICE
from records.runs import RunStore
from records.runs import rows as rows_of_run
from records.tables import salts
from serving.app import create_app
from serving.decisions.decider import Decider
from serving.decisions.preview import preview_everyone
from serving.decisions.runs import BATCH, DecisionRuns
from serving.decisions.schemas import Row
from serving.decisions.to_file import RecommendRequest, recommend_everyone
from serving.scores.scorer import open_scorer

ROOT = Path(__file__).parents[2]
RUNS = "/v1/recommendation-runs"
HEAD = "margin = 0.4\nholdout_share = {holdout}\nexploration_share = {exploration}\n"
LETTER = """
[[actions]]
name = "letter"
channel = "post"
cost = 0.5
text = { en = "A letter", zh = "一封信" }
repeat_after_days = 30
effect = { on = "propensity", plus = 0.3 }
"""
MAIL = """
[[actions]]
name = "mail"
channel = "email"
cost = 0.01
who = [{ feature = "newsletter", equals = true }]
effect = { on = "propensity", times = 1.2 }
"""


def rules(*actions: str, holdout: float = 0.0, exploration: float = 0.0, limits: str = "") -> str:
    return HEAD.format(holdout=holdout, exploration=exploration) + limits + "".join(actions)


Ask = Callable[..., httpx.Response]


@contextmanager
def service(home: Home) -> Iterator[Ask]:
    """The service over a home: a function (method, path, ...); at the end it shuts down as under a server."""
    with ScoreLog(home) as log:
        app = create_app(open_scorer(home, log), log)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://patron")
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        ):
            yield lambda method, path, **given: portal.call(partial(client.request, method, path, **given))


@pytest.fixture(scope="module")
def example_home(
    trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any
) -> Home:
    """A trained shop with the example's actions; tests here may ask it anything but change no file."""
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("decisions") / "home")
    home.actions.write_bytes(EXAMPLE.read_bytes())
    with DecisionLog(home) as log, log.writing() as connection:
        connection.execute(
            sa.update(salts).values(salt=bytes(32))
        )  # the same draws in every run of the tests
    return home


@pytest.fixture(scope="module")
def ask(example_home: Home) -> Iterator[Ask]:
    with service(example_home) as ask:
        yield ask


@pytest.fixture
def home(trained_copy: Home) -> Home:
    """A trained shop with one action that pays for nearly everyone, for a test to change."""
    trained_copy.actions.write_text(rules(LETTER))
    return trained_copy


@pytest.fixture(scope="module")
def ids(example_home: Home) -> list[str]:
    result: list[str] = Identity(example_home).table()["customer_id"].to_pylist()
    return result


@pytest.fixture(scope="module")
def facts(built: SnapshotSet, example_home: Home) -> pd.DataFrame:
    """Everyone's features as of the last build, by customer id."""
    frames = [built.frame(group, built.current).set_index("customer_key") for group in GROUPS]
    joined = pd.concat([f.drop(columns=["as_of", "created_at"]) for f in frames], axis=1)
    joined.index = joined.index.map(Identity(example_home).ids(joined.index.tolist()))
    return joined


def decide(ask: Ask, customer: str, **body: Any) -> dict[str, Any]:
    response = ask("POST", f"/v1/customers/{customer}/next-best-actions", json=body)
    assert response.status_code == 200, response.text
    actual: dict[str, Any] = response.json()
    return actual


def refused(response: httpx.Response, status: int, words: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail: str = response.json()["detail"]
    assert re.search(words, detail), detail
    return detail


def run_to_its_end(ask: Ask, **body: Any) -> dict[str, Any]:
    """Start a run and ask until it is done; gives its first page."""
    started = ask("POST", RUNS, json=body)
    assert started.status_code == 202, started.text
    assert started.headers["location"] == f"{RUNS}/{started.json()['run_id']}"
    return to_its_end(ask, started.json()["run_id"])


def to_its_end(ask: Ask, run_id: str) -> dict[str, Any]:
    """The first page of a run once it is done; an interrupted one is resumed a moment after the start."""
    for _ in range(1200):
        page: dict[str, Any] = ask("GET", f"{RUNS}/{run_id}").json()
        if page["status"] not in ("running", "interrupted"):
            break
        time.sleep(0.05)
    assert page["status"] == "done", page
    return page


def stored(home: Home, query: str) -> list[tuple[Any, ...]]:
    with DecisionLog(home) as log, log.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


# One customer


def test_a_decision_is_told_with_its_reasons_and_logged_before(
    ask: Ask, example_home: Home, ids: list[str], facts: pd.DataFrame
) -> None:
    buyer = facts[(facts.orders_365d >= 4) & (facts.recency_days < 30) & (facts.newsletter)].index[0]
    result = decide(ask, buyer)
    chosen = result["chosen"]
    assert chosen["effect"] == "assumed"
    assert chosen["how"] in {"best", "explored", "holdout"}
    assert 0 < chosen["probability"] <= 1
    assert result["reasons"]
    given_value = [chosen["action"], *(o["action"] for o in (*result["runners_up"], *result["not_offered"]))]
    assert sorted(given_value) == sorted(
        ["nothing", *re.findall(r'^name = "(.*)"', EXAMPLE.read_text(), re.M)]
    )
    assert all(option["why"] for option in (*result["runners_up"], *result["not_offered"]))
    why_not = {option["action"]: option["why"] for option in result["not_offered"]}
    recency = facts.recency_days[buyer]
    assert why_not["coupon_10"] == f"recency_days is {recency} and must be at least 60"
    assert {name: score["version"] for name, score in result["scores"].items()} == dict.fromkeys(
        ("churn", "propensity", "clv"), "1"
    )
    total = chosen["probability"] + sum(option["probability"] for option in result["runners_up"])
    assert total == pytest.approx(1)
    (row,) = stored(
        example_home,
        "SELECT action, probability, expected_value, how, scores, facts, probabilities, run_id, caller"
        f" FROM decisions WHERE id = '{result['decision_id']}'",
    )
    assert row[:4] == tuple(chosen[n] for n in ("action", "probability", "expected_value", "how"))
    assert json.loads(row[4])["propensity"]["score"] == result["scores"]["propensity"]["score"]
    assert json.loads(row[5])["recency_days"] == recency
    assert json.loads(row[6])[chosen["action"]] == chosen["probability"]
    assert row[7:] == (None, "api")


def test_the_log_names_nobody(ask: Ask, example_home: Home, ids: list[str]) -> None:
    for customer in ids[:20]:
        decide(ask, customer)
    for name in ("decisions", "rules", "outcomes", "runs", "run_rows"):
        content = repr(stored(example_home, f"SELECT * FROM {name}"))
        assert not [customer for customer in ids if customer in content]


def test_asked_again_the_answer_is_the_same_decision_in_the_language_asked_for(
    ask: Ask, ids: list[str]
) -> None:
    first = decide(ask, ids[3])
    assert decide(ask, ids[3], channels=None) == first
    assert decide(ask, ids[3], channels=["post", "phone", "email", "app"]) == first
    chinese = decide(ask, ids[3], language="zh")
    assert chinese["decision_id"] == first["decision_id"]
    assert chinese["chosen"]["expected_value"] == first["chosen"]["expected_value"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese["chosen"]["text"])
    assert all(re.search("[\u4e00-\u9fff]", why["why"]) for why in chinese["not_offered"])
    by_mail = decide(ask, ids[3], channels=["email"])
    assert by_mail["decision_id"] != first["decision_id"]
    assert {o["action"]: o["why"] for o in by_mail["not_offered"]}["personal_call"] == "channel not asked for"
    assert decide(ask, ids[3], channels=["email", "email"])["decision_id"] == by_mail["decision_id"]


def test_many_who_ask_at_once_get_one_decision(ask: Ask, ids: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(lambda _: decide(ask, ids[77], channels=["app"]), range(24)))
    assert len({answer["decision_id"] for answer in result}) == 1


def test_an_unknown_customer_is_not_found_and_not_said_back(ask: Ask) -> None:
    for customer in ("C-secret", "a%2Fb", "Zo%C3%AB%20%E2%98%83"):
        response = ask("POST", f"/v1/customers/{customer}/next-best-actions", json={})
        assert "secret" not in refused(response, 404, "unknown customer: no event has named this id")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"channels": ["fax"]}, "channels: no action goes through 'fax'; there are app, email, phone, post"),
        ({"channels": []}, "channels: .* at least 1"),
        ({"channels": "email"}, "channels: .* list"),
        ({"language": "fr"}, "language: .* 'en' or 'zh'"),
        ({"channel": ["email"]}, "not permitted"),
        ([], "body: "),
    ],
)
def test_a_question_that_does_not_fit_is_refused_in_words(
    body: Any, words: str, ask: Ask, ids: list[str]
) -> None:
    refused(ask("POST", f"/v1/customers/{ids[0]}/next-best-actions", json=body), 422, words)
    refused(ask("POST", RUNS, json=body), 422, words)


def test_scores_that_decisions_rest_on_are_in_the_log_of_scores(home: Home, ids: list[str]) -> None:
    with service(home) as ask:
        result = decide(ask, ids[5])
    now = home.shop().now()
    logged = logs.read(home, now - timedelta(days=1), now, lake.connect())
    (row,) = logged.vectors.to_pandas().to_dict("records")
    assert row["propensity.score"] == result["scores"]["propensity"]["score"]


def test_who_has_no_features_yet_gets_nothing_with_the_reason(home: Home) -> None:
    Identity(home).assign(["new/customer"])
    with service(home) as ask:
        result = decide(ask, "new%2Fcustomer")
        page = run_to_its_end(ask)
    assert (result["chosen"]["action"], result["chosen"]["probability"]) == ("nothing", 1.0)
    assert result["reasons"] == ["no features yet: they are made by the next `patron build`"]
    assert result["not_offered"][0]["why"].startswith("no propensity score: no features yet")
    assert page["rows"][-1]["customer_id"] == "new/customer"
    assert page["rows"][-1]["decision_id"] == result["decision_id"]


# Rules


def test_rules_that_are_missing_or_broken_are_a_problem_and_are_read_again_when_they_change(
    home: Home, ids: list[str]
) -> None:
    with service(home) as ask:
        path = f"/v1/customers/{ids[0]}/next-best-actions"
        first = decide(ask, ids[0])
        home.actions.write_text(rules(LETTER.replace("0.5", "-1")))
        for request in (path, RUNS):
            refused(ask("POST", request, json={}), 503, r"actions\.toml: action letter: cost: .*equal to 0")
        home.actions.unlink()
        for request in (path, RUNS):
            refused(ask("POST", request, json={}), 503, r"no actions in .*; `patron recommend --draft >")
        home.actions.write_text("# the same\n" + rules(LETTER))
        assert decide(ask, ids[0]) == first
        home.actions.write_text(rules(LETTER, MAIL))
        other = decide(ask, ids[0])
    assert other["decision_id"] != first["decision_id"]
    assert {*(o["action"] for o in (other["chosen"], *other["runners_up"], *other["not_offered"]))} == {
        "nothing", "letter", "mail",
    }  # fmt: skip


def test_the_catalogue_and_its_audiences_are_listed_with_who_fits_now(ask: Ask, ids: list[str]) -> None:
    catalogue = ask("GET", "/v1/actions").json()
    assert [action["name"] for action in catalogue["actions"]] == [
        "coupon_10", "free_delivery", "personal_call", "reminder", "win_back_letter",
    ]  # fmt: skip
    assert catalogue["customers"] == len(ids)
    assert all(0 < action["fits"] < len(ids) for action in catalogue["actions"])
    assert {action["state"] for action in catalogue["actions"]} == {"active"}
    assert catalogue["warnings"] == []
    assert catalogue["channels"]["email"]["quiet_hours"] == ["22:00", "08:00"]
    (audience,) = ask("GET", "/v1/audiences").json()["audiences"]
    assert (audience["name"], audience["rule"]) == (
        "valuable", "value_tier in (A, B) and orders_365d >= 2",
    )  # fmt: skip
    assert 0 < audience["customers"] < len(ids)
    assert audience["reach"]["email"] <= audience["reach"]["phone"] == audience["customers"]


def test_a_run_decides_for_the_customers_who_match_its_rule(ask: Ask, facts: pd.DataFrame) -> None:
    rule = "in audience valuable and recency_days > 30 or not newsletter"
    page = run_to_its_end(ask, rule=rule)
    valuable = facts.value_tier.isin(["A", "B"]) & (facts.orders_365d >= 2)
    expected = facts[valuable & (facts.recency_days > 30) | (facts.newsletter == False)]  # noqa: E712
    assert {row["customer_id"] for row in page["rows"]} == {*expected.index}
    assert page["rule"] == rule
    for wrong, words in [
        ("chrun > 0.5", r"rule: column 1: there is no feature 'chrun'; did you mean churn"),
        ("in audience vip", r"rule: column 13: there is no audience 'vip'; use valuable"),
    ]:
        refused(ask("POST", RUNS, json={"rule": wrong}), 422, words)


def test_a_catalogue_is_kept_by_requests_where_no_file_was_written_by_hand(
    home: Home, ids: list[str]
) -> None:
    with service(home) as ask:
        letter = tomllib.loads(LETTER)["actions"][0]
        refused(ask("PUT", "/v1/actions/letter", json=letter), 409, "written by hand and is the source")
        home.actions.unlink()
        refused(ask("PUT", "/v1/actions/letter", json=letter), 422, "margin: this is missing")
        whole = {"margin": 0.4, "control_share": 0, "exploration_share": 0, "actions": [letter]}
        first = ask("PUT", "/v1/actions", json=whole)
        assert first.status_code == 200, first.text
        assert decide(ask, ids[0])["chosen"]["action"] in ("letter", "nothing")
        second = letter | {"name": "call", "channel": "phone", "rule": "newsletter"}
        refused(ask("PUT", "/v1/actions/call", json=second), 412, "is the version")
        etag = {"if-match": first.json()["digest"]}
        wrong = ask("PUT", "/v1/actions/call", json=second | {"rule": "nwsletter"}, headers=etag)
        refused(wrong, 422, "action call: rule: column 1: there is no feature 'nwsletter'")
        added = ask("PUT", "/v1/actions/call", json=second, headers=etag)
        assert [action["name"] for action in added.json()["actions"]] == ["call", "letter"]
        refused(ask("DELETE", "/v1/actions/letter", headers=etag), 412, "is the version")
        etag = {"if-match": f'"{added.json()["digest"]}"'}
        refused(ask("DELETE", "/v1/actions/mail", headers=etag), 404, "no such action")
        left = ask("DELETE", "/v1/actions/letter", headers=etag)
        assert [action["name"] for action in left.json()["actions"]] == ["call"]
        assert left.json()["digest"] == ask("GET", "/v1/actions").json()["digest"] != first.json()["digest"]


def on_day(home: Home, days: int) -> None:
    """Let the shop's clock stand some days after the end of the shop's history."""
    shop = home.shop()
    end = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
    home.write_shop(replace(shop, clock=Clock(end + timedelta(days))))


def test_an_action_is_not_repeated_too_soon_after_it_was_shown(home: Home, facts: pd.DataFrame) -> None:
    customer, unseen = facts[facts.average_order_value > 50].index[:2]
    chosen, others = {}, {}
    for days in (0, 1, 29, 30):
        on_day(home, days)
        with service(home) as ask:
            chosen[days], others[days] = decide(ask, customer), decide(ask, unseen)
            if days == 0:
                shown = ask(
                    "POST", f"/v1/decisions/{chosen[0]['decision_id']}/outcome", json={"outcome": "shown"}
                )
                assert shown.status_code == 200
    assert [chosen[days]["chosen"]["action"] for days in (0, 1, 29, 30)] == [
        "letter", "nothing", "nothing", "letter",
    ]  # fmt: skip
    assert chosen[29]["not_offered"][0]["why"] == "chosen 29 days ago and at most every 30 days"
    # A decision of which nothing was reported uses nothing up once its reservation is over.
    assert {other["chosen"]["action"] for other in others.values()} == {"letter"}


def test_three_channels_that_are_asked_separately_contact_a_customer_once(
    home: Home, facts: pd.DataFrame
) -> None:
    customer = facts[facts.average_order_value > 50].index[0]
    named = [LETTER.replace("post", channel).replace("letter", channel) for channel in ("post", "sms", "app")]
    home.actions.write_text(rules(*named))
    with service(home) as ask:
        made = [decide(ask, customer, channels=[channel]) for channel in ("sms", "post", "app")]
        assert [one["chosen"]["action"] for one in made] == ["sms", "nothing", "nothing"]
        why = {option["action"]: option["why"] for option in made[1]["not_offered"]}
        assert why["post"] == "1 contact today; at most 1 a day"
        home.actions.write_text(rules(*named, limits='limits = [{ max = 2, per = "day" }]\n'))
        # The clock stands still, so a reservation by earlier rules does not count.
        made = [decide(ask, customer, channels=[channel]) for channel in ("post", "sms", "app")]
        assert [one["chosen"]["action"] for one in made] == ["post", "sms", "nothing"]
        path = f"/v1/decisions/{made[0]['decision_id']}/outcome"
        assert ask("POST", path, json={"outcome": "not_sent"}).status_code == 200
        assert decide(ask, customer, channels=["post"])["chosen"]["action"] == "post"


def unsubscribe(home: Home, customer: str, event: str = "Unsubscribed") -> None:
    """Let an event of the customer arrive an hour before the end of the shop's history."""
    at = datetime(2024, 7, 1, 8, 30, tzinfo=UTC)
    message = translate(
        {"type": "track", "event": event, "userId": customer}, at, Place("UTC", home.shop().currency)
    )
    assert isinstance(message, Message)
    compacted = lake.current(home).compacted_seq
    append(Database(home), [message], compacted_seq=compacted, last_key=100_000)


def test_who_unsubscribes_is_not_contacted_by_any_rule_nor_by_the_decision_of_the_day(
    home: Home, facts: pd.DataFrame
) -> None:
    customer = facts[facts.average_order_value > 50].index[0]
    letter = LETTER.replace("post", "email").replace("letter", "mail")
    required = '[channels.post]\nconsent = "required"\nquiet_hours = ["08:00", "20:00"]\n'
    home.actions.write_text(rules(letter, LETTER) + required)
    with service(home) as ask:
        unsubscribe(home, customer, "Subscribed")
        made = decide(ask, customer)
        assert (made["chosen"]["action"], made["send_at"]) == ("mail", "2024-07-01T09:30:00Z")
        why = {option["action"]: option["why"] for option in made["not_offered"]}
        assert why["letter"] == "not subscribed to post, which needs consent"
        unsubscribe(home, customer)
        after = decide(ask, customer)
        assert after["chosen"]["action"] == "nothing"
        why = {option["action"]: option["why"] for option in after["not_offered"]}
        assert why["mail"] == "unsubscribed from email"
        home.actions.write_text(rules(letter, LETTER) + required.replace("required", "not_needed"))
        made = decide(ask, customer, channels=["post"])
        zone = ZoneInfo(home.shop().time_zone)
        evening = datetime(2024, 7, 1, 20, tzinfo=zone).astimezone(UTC)
        assert (made["chosen"]["action"], datetime.fromisoformat(made["send_at"])) == ("letter", evening)


def test_a_preview_writes_and_reserves_nothing(home: Home, facts: pd.DataFrame) -> None:
    customer = facts[facts.average_order_value > 50].index[0]
    tables = ("decisions", "reservations", "contacts", "scores", "rules")

    def counts() -> list[Any]:
        return [stored(home, f"SELECT count(*) FROM {name}") for name in tables]

    with service(home) as ask:
        decide(ask, facts.index[-1])  # the rules are stored with the first use, and the scores soon after
        while stored(home, "SELECT count(*) FROM scores") == [(0,)]:
            time.sleep(0.01)
        before = counts()
        looks = [decide(ask, customer, preview=True) for _ in range(3)]
        assert [look["decision_id"] for look in looks] == [None] * 3
        assert looks[0]["chosen"]["action"] == "letter"
        assert counts() == before
        made = decide(ask, customer)
        assert made | {"decision_id": None} == looks[0]
        assert decide(ask, customer, preview=True) == made
        assert decide(ask, customer, preview=True, channels=["post"])["decision_id"] == made["decision_id"]
        refused(ask("POST", RUNS, json={"preview": True}), 422, "not permitted")


# Outcomes


def test_outcomes_are_recorded_once(ask: Ask, ids: list[str], example_home: Home) -> None:
    made = decide(ask, ids[40])["decision_id"]
    path = f"/v1/decisions/{made}/outcome"
    for given_value in (
        {"outcome": "shown"},
        {"outcome": "clicked"},
        {"outcome": "converted", "value": 64.2},
    ):
        for recorded in (True, False):
            response = ask("POST", path, json=given_value)
            assert response.status_code == 200, response.text
            assert response.json() == {
                "decision_id": made, "outcome": given_value["outcome"], "recorded": recorded,
                "at": "2024-07-01T09:30:00Z",
            }  # fmt: skip
    response = ask("POST", path, json={"outcome": "converted", "value": 1})
    refused(response, 409, "converted came for this decision at 2024-07-01T09:30:00Z with the value 64.2")
    assert decide(ask, ids[40])["decision_id"] == made
    assert ask("POST", path, json={"outcome": "rejected"}).status_code == 200
    assert decide(ask, ids[40])["decision_id"] != made
    (key,) = Identity(example_home).keys([ids[40]]).values()
    result = stored(
        example_home, f"SELECT kind, value FROM outcomes WHERE customer_key = {key} ORDER BY kind"
    )
    assert result == [("clicked", None), ("converted", 64.2), ("rejected", None), ("shown", None)]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (
            '{"outcome": "bought"}',
            422,
            "outcome: .* 'sent', 'not_sent', 'shown', 'clicked', 'accepted', 'rejected' or 'converted'",
        ),
        ('{"outcome": "converted"}', 422, "converted needs a value"),
        ('{"outcome": "clicked", "value": 3}', 422, "the other outcomes have none"),
        ('{"outcome": "converted", "value": NaN}', 422, "value: .* finite"),
        ('{"outcome": "converted", "value": 1e999}', 422, "value: .* finite"),
        ('{"outcome": "converted", "value": -1}', 422, "value: .* greater than or equal to 0"),
        ('{"outcome": "converted", "value": "much"}', 422, "value: .* number"),
        ('{"outcome": "shown", "customer_id": "C1"}', 422, "not permitted"),
        ("{", 400, "not JSON"),
    ],
)
def test_an_outcome_that_does_not_fit_is_refused(body: str, status: int, words: str, ask: Ask) -> None:
    response = ask(
        "POST", "/v1/decisions/x/outcome", content=body, headers={"content-type": "application/json"}
    )
    refused(response, status, words)


def test_an_outcome_of_an_unknown_decision_is_not_found(ask: Ask) -> None:
    refused(ask("POST", "/v1/decisions/nobody/outcome", json={"outcome": "shown"}), 404, "no such decision")


# Runs


def test_a_run_decides_for_everybody_as_single_questions_do(
    ask: Ask, ids: list[str], facts: pd.DataFrame
) -> None:
    before = decide(ask, ids[9])
    page = run_to_its_end(ask)
    rows = page["rows"]
    assert (page["total"], page["done"], page["next_cursor"], page["segment"]) == (
        len(ids),
        len(ids),
        None,
        None,
    )
    assert [row["customer_id"] for row in rows] == ids
    assert list(rows[0]) == list(Row.model_fields)
    assert rows[9]["decision_id"] == before["decision_id"]
    assert page["actions"] == dict(Counter(row["action"] for row in rows))
    for row in (rows[0], rows[100], rows[-1]):
        one = decide(ask, row["customer_id"])
        assert one["decision_id"] == row["decision_id"]
        assert one["chosen"] == {
            "action": row["action"], "text": row["action_text"], "effect": "assumed",
            "factors": one["chosen"]["factors"],
            **{name: row[name] for name in ("channel", "expected_value", "cost", "probability", "how")},
        }  # fmt: skip
        assert row["reason"] == "; ".join(one["reasons"])
        assert {n: row[n] for n in one["scores"]} == {n: s["score"] for n, s in one["scores"].items()}
        assert row["run_id"] == page["run_id"]
        assert row["decided_at"] == "2024-07-01T09:30:00Z"
    holdout = [row for row in rows if row["how"] == "holdout"]
    assert {row["action"] for row in holdout} == {"nothing"}
    assert 0.02 < len(holdout) / len(rows) < 0.09
    assert {row["channel"] for row in rows} == {"email", "post", "app", "phone", None}
    assert not any(not facts.newsletter[row["customer_id"]] for row in rows if row["channel"] == "email")


def test_a_run_is_for_its_segment_and_its_pages_are_its_rows(ask: Ask, facts: pd.DataFrame) -> None:
    inside = [name for name in facts.index if facts.country[name] == "AT"]
    page = run_to_its_end(ask, segment="country:AT", channels=["email", "post"], language="zh")
    assert (page["segment"], page["channels"], page["language"]) == ("country:AT", ["email", "post"], "zh")
    assert [row["customer_id"] for row in page["rows"]] == inside
    assert {row["channel"] for row in page["rows"]} <= {"email", "post", None}
    assert re.search("[\u4e00-\u9fff]", page["rows"][0]["reason"])
    place = f"{RUNS}/{page['run_id']}"
    for limit in (1, 7, len(inside), 1000):
        read: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            request = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            got = ask("GET", place, params=request).json()
            assert len(got["rows"]) == min(limit, len(inside) - len(read))
            read, cursor = read + got["rows"], got["next_cursor"]
            if limit == 1 and len(read) == 5:
                break
        assert read == page["rows"][: len(read)]
    english = ask("GET", place, params={"language": "en", "limit": 1}).json()["rows"][0]
    assert not re.search("[\u4e00-\u9fff]", english["reason"] + english["action_text"])
    response = ask("GET", place, params={"format": "ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == page["rows"]
    half = ask("GET", place, params={"limit": 10}).json()["next_cursor"]
    response = ask("GET", place, params={"format": "ndjson", "cursor": half})
    assert [json.loads(line) for line in response.text.splitlines()] == page["rows"][10:]


def test_a_run_of_several_segments_is_for_those_in_all_and_is_read_without_nothing(
    ask: Ask, facts: pd.DataFrame
) -> None:
    both = ["country:AT", "acquisition_channel:search"]
    inside = [
        name for name in facts.index
        if (facts.country[name], facts.acquisition_channel[name]) == ("AT", "search")
    ]  # fmt: skip
    page = run_to_its_end(ask, segment=both)
    assert page["segment"] == sorted(both)
    assert [row["customer_id"] for row in page["rows"]] == inside
    run_id = page["run_id"]
    place = f"{RUNS}/{run_id}"
    wanted = [row for row in page["rows"] if row["action"] != "nothing"]
    assert 0 < len(wanted) < len(inside)
    read: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        request = {"limit": 2, "only_actions": True} | ({"cursor": cursor} if cursor else {})
        got = ask("GET", place, params=request).json()
        read, cursor = read + got["rows"], got["next_cursor"]
    assert read == wanted
    response = ask("GET", place, params={"format": "xlsx", "only_actions": True, "for": "dynamics"})
    lines = CalamineWorkbook.from_filelike(io.BytesIO(response.content)).get_sheet_by_index(0).to_python()
    assert [line[0] for line in lines] == ["Patron Customer ID", *(row["customer_id"] for row in wanted)]
    assert response.headers["content-disposition"].endswith('.xlsx"')
    response = ask("GET", place, params={"format": "csv", "only_actions": True, "zip": True, "for": "wecom"})
    assert response.headers["content-disposition"] == f'attachment; filename="recommendations-{run_id}.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        (name,) = archive.namelist()
        lines = list(csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"))))
    assert (name, len(lines)) == (f"recommendations-{run_id}.csv", 1 + len(wanted))
    refused(ask("GET", place, params={"format": "ndjson", "zip": True}), 422, "zip: .* use format=csv")
    refused(ask("GET", place, params={"format": "csv", "zip": True, "for": "sap"}), 422, "no layout 'sap'")
    for wrong in ([], ["country:AT"] * 21, ["x" * 201]):
        refused(ask("POST", RUNS, json={"segment": wrong}), 422, "segment")
    refused(ask("POST", RUNS, json={"segment": ["country:AT", "planet:earth"]}), 422, "FEATURE:VALUE")


def test_a_page_that_is_not_there_is_refused_in_words(ask: Ask) -> None:
    one = run_to_its_end(ask, segment="country:CH")["run_id"]
    other = run_to_its_end(ask, segment="country:NL")["run_id"]
    cursor = ask("GET", f"{RUNS}/{one}", params={"limit": 1}).json()["next_cursor"]
    assert ask("GET", f"{RUNS}/{one}", params={"cursor": cursor}).status_code == 200
    refused(ask("GET", f"{RUNS}/{other}", params={"cursor": cursor}), 422, "cursor: it is of another run")
    refused(ask("GET", f"{RUNS}/{one}", params={"cursor": "nonsense"}), 422, "cursor: this is not one that")
    refused(ask("GET", f"{RUNS}/{one}", params={"limit": 0}), 422, "limit: .* equal to 1")
    refused(ask("GET", f"{RUNS}/{one}", params={"limit": 1001}), 422, "limit: .* equal to 1000")
    refused(ask("GET", f"{RUNS}/{one}", params={"format": "xls"}), 422, "format: ")
    refused(ask("GET", f"{RUNS}/{one}", params={"page": 2}), 422, "not permitted")
    refused(ask("GET", f"{RUNS}/nobody"), 404, "no such run; the last 100 are kept")


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ("country", "segment: .* FEATURE:VALUE.* acquisition_channel, country"),
        ("orders_total:3", "segment: .* FEATURE:VALUE.* acquisition_channel, country"),
        ("planet:earth", "segment: .* FEATURE:VALUE.* acquisition_channel, country"),
        ("country:XX", "segment: .* country; there are AT, CH, DE, FR, NL"),
    ],
)
def test_a_segment_that_is_not_there_is_refused_with_those_there_are(
    segment: str, words: str, ask: Ask
) -> None:
    refused(ask("POST", RUNS, json={"segment": segment}), 422, words)


def test_while_a_run_goes_on_it_tells_how_far_it_is_and_no_other_begins(
    home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, real = threading.Semaphore(1), Decider.decide

    def slowly(*given: Any, **named: Any) -> Any:
        assert may_go_on.acquire(timeout=60)
        return real(*given, **named)

    with service(home) as ask:
        monkeypatch.setattr(Decider, "decide", slowly)
        started = ask("POST", RUNS, json={}).json()
        assert (started["status"], started["total"]) == ("running", len(ids))
        place = f"{RUNS}/{started['run_id']}"
        while (page := ask("GET", place).json())["done"] == 0:
            pass
        assert page["status"] == "running"
        assert 0 < len(page["rows"]) == page["done"] < len(ids)
        assert page["next_cursor"] is not None
        rest = ask("GET", place, params={"cursor": page["next_cursor"]}).json()
        assert (rest["rows"], rest["next_cursor"]) == ([], page["next_cursor"])
        refused(ask("POST", RUNS, json={}), 409, f"the run {started['run_id']} is running")
        refused(ask("GET", place, params={"format": "ndjson"}), 409, f"running, {page['done']} of {len(ids)}")
        assert ask("GET", "/healthz").status_code == 200
        for _ in ids:
            may_go_on.release()
        while ask("GET", place).json()["status"] == "running":
            pass
        end = ask("GET", place, params={"cursor": page["next_cursor"]}).json()
        assert [r["customer_id"] for r in page["rows"] + end["rows"]] == ids
        assert end["next_cursor"] is None


def test_a_run_that_was_interrupted_with_the_service_is_resumed_with_it(
    home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, real_close = Decider.decide, DecisionRuns.close
    begun, closing = threading.Event(), threading.Event()

    def one_batch(*given: Any, **named: Any) -> Any:
        decided = real(*given, **named)
        begun.set()
        assert closing.wait(60)
        return decided

    def close(runs: DecisionRuns) -> None:
        runs._worker._shutdown.set()
        closing.set()
        real_close(runs)

    monkeypatch.setattr(DecisionRuns, "close", close)
    with service(home) as ask:
        monkeypatch.setattr(Decider, "decide", one_batch)
        run_id = ask("POST", RUNS, json={}).json()["run_id"]
        assert begun.wait(60)
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(DecisionRuns, "resume", lambda _: None)
        with service(home) as ask:
            page = ask("GET", f"{RUNS}/{run_id}").json()
            assert page["status"] == "interrupted"
            assert 0 < len(page["rows"]) == page["done"] < page["total"] == len(ids)
            assert page["next_cursor"] is not None
            refused(
                ask("GET", f"{RUNS}/{run_id}", params={"format": "ndjson"}), 409, "the run is interrupted"
            )
    with service(home) as ask:
        whole = to_its_end(ask, run_id)
        rest = ask("GET", f"{RUNS}/{run_id}", params={"cursor": page["next_cursor"]}).json()
    assert whole["status"] == "done"
    assert page["rows"] + rest["rows"] == whole["rows"]
    assert [row["customer_id"] for row in whole["rows"]] == ids


KILLED = """
import os, signal, sys
from pathlib import Path
from core.home import Home
from records import ScoreLog
from records.decisions import DecisionLog
from serving.decisions.decider import Decider
from serving.decisions.runs import DecisionRuns
from serving.decisions.to_file import RecommendRequest, recommend_everyone
from serving.scores.scorer import open_scorer

real, batches = DecisionLog.decide, []

def decide(*args):
    decided = real(*args)
    batches.append(decided)
    if len(batches) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return decided

DecisionLog.decide = decide
home = Home(Path(sys.argv[1]))
if sys.argv[2] == "command":
    recommend_everyone(home, RecommendRequest(out=home.path / "out.ndjson"))
log = ScoreLog(home)
DecisionRuns(Decider(open_scorer(home, log), DecisionLog(home))).start(None, None, "en", "crm", "0" * 32)
signal.pause()
"""


def killed_run(home: Home, origin: str) -> tuple[str, list[str]]:
    """A run whose process was killed after four batches: its id, and the ids of its decisions."""
    command = [sys.executable, "-c", KILLED, str(home.path), origin]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    with DecisionLog(home) as log:
        (run,) = RunStore(log).list_jobs()
        assert (run.status, run.done, run.origin) == ("interrupted", 4 * BATCH, origin)
        return run.id, [decision.id for _, decision in rows_of_run(log, run.id, 0, 1000)]


def test_a_service_resumes_a_killed_run_by_the_actions_with_which_it_began(
    home: Home, ids: list[str]
) -> None:
    run_id, decided = killed_run(home, SERVICE)
    home.actions.write_text(rules(MAIL))
    with service(home) as ask:
        whole = to_its_end(ask, run_id)
        assert (whole["status"], whole["done"]) == ("done", len(ids))
        assert [row["customer_id"] for row in whole["rows"]] == ids
        assert [row["decision_id"] for row in whole["rows"][: len(decided)]] == decided
        assert {row["action"] for row in whole["rows"][len(decided) :]} == {"letter", "nothing"}
        assert ask("GET", f"{RUNS}/{run_id}", params={"format": "ndjson"}).status_code == 200
    assert stored(home, "SELECT count(*) FROM decisions") == [(len(ids),)]
    with service(home) as ask:  # nothing is left to resume
        assert to_its_end(ask, run_id)["rows"] == whole["rows"]


def test_looking_at_recommendations_uses_nothing_up_and_a_release_does(
    home: Home, ids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.ndjson"
    preview = preview_everyone(home, RecommendRequest(out=out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert stored(home, "SELECT count(*) FROM decisions") == [(0,)]
    assert {(row["decision_id"], row["run_id"]) for row in rows} == {(None, None)}
    with DecisionLog(home) as log:
        looked = newest_funnel.read(log, 30)
    (funnel,) = looked["actions"]
    assert (looked["run_id"], looked["customers"]) == (None, len(rows))
    assert (funnel["won"], funnel["sent"]) == (preview["actions"]["letter"], 0)
    done = recommend_everyone(home, RecommendRequest(out=out))
    made = [json.loads(line) for line in out.read_text().splitlines()]
    none = {"decision_id": None, "run_id": None}
    assert [row | none for row in made] == rows
    assert (done["actions"], done["released"]) == (preview["actions"], 0)
    letters = done["actions"]["letter"]
    on_day(home, 1)
    assert preview_everyone(home, RecommendRequest(out=out))["actions"]["letter"] == letters
    assert recommend_everyone(home, RecommendRequest(out=out), release=True)["released"] == letters
    on_day(home, 2)
    assert "letter" not in preview_everyone(home, RecommendRequest(out=out))["actions"]
    with service(home) as ask:
        (funnel,) = ask("GET", "/v1/actions/letter/funnel?days=3650").json()["actions"]
        stages = [funnel[name] for name in ("eligible", "suitable", "consented", "within_limits", "won")]
        assert stages == sorted(stages, reverse=True)
        assert (stages[-1], funnel["sent"], funnel["accepted"]) == (0, letters, 0)
        assert "contacts" in funnel["words"]["en"]
        assert ask("GET", "/v1/funnel").json()["customers"] == len(rows)
        refused(ask("GET", "/v1/actions/nobody/funnel"), 404, "no such action")
        refused(ask("POST", f"{RUNS}/nobody/release"), 404, "no such run")
        response = ask("POST", f"{RUNS}/{done['run_id']}/release")
        assert response.json() == {"run_id": done["run_id"], "contacts": letters}
        assert ask("POST", f"{RUNS}/{done['run_id']}/release").json()["contacts"] == 0
        assert ask("DELETE", f"{RUNS}/{done['run_id']}/release").json()["contacts"] == letters
        assert ask("DELETE", f"{RUNS}/{done['run_id']}/release").json()["contacts"] == 0
        decision = next(row["decision_id"] for row in made if row["action"] == "letter")
        late = {"outcome": "sent", "at": "2400-01-01T00:00:00Z"}
        refused(ask("POST", f"/v1/decisions/{decision}/outcome", json=late), 422, "after the present moment")
        past = ask("POST", f"/v1/decisions/{decision}/outcome", json=late | {"at": "2020-01-01T00:00:00Z"})
        assert past.json()["at"] == "2020-01-01T00:00:00Z"
        customer = next(row["customer_id"] for row in made if row["decision_id"] == decision)
        timeline = f"/v1/customers/{customer}/timeline"
        contacts = ask("GET", f"{timeline}?kind=contact").json()["events"]
        (contact,) = (event for event in contacts if event["decision_id"] == decision)
        assert (contact["kind"], contact["time"], contact["state"]) == (
            "contact", "2020-01-01T00:00:00Z", "sent",
        )  # fmt: skip
        assert (contact["decision_id"], contact["channel"], contact["outcomes"]) == (
            decision, "post", ["sent"],
        )  # fmt: skip
        everything, cursor = [], ""
        while cursor is not None:
            page = ask("GET", f"{timeline}?limit=3" + (f"&cursor={cursor}" if cursor else "")).json()
            everything += page["events"]
            cursor = page["next_cursor"]
        assert [event for event in everything if event["kind"] == "contact"] == contacts
        assert everything == ask("GET", f"{timeline}?limit=200").json()["events"]
        assert contact["decision_id"] in [
            c["decision_id"] for c in ask("GET", f"/v1/customers/{customer}").json()["contacts"]
        ]


def test_the_same_command_resumes_a_killed_run(home: Home, ids: list[str]) -> None:
    run_id, decided = killed_run(home, COMMAND)
    with service(home) as ask:  # a service leaves it to the command line
        page = ask("GET", f"{RUNS}/{run_id}").json()
        assert (page["status"], page["next_cursor"]) == ("interrupted", None)
    out = home.path / "out.ndjson"
    done = recommend_everyone(home, RecommendRequest(out=out))
    assert (done["run_id"], done["customers"]) == (run_id, len(ids))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["customer_id"] for row in rows] == ids
    assert [row["decision_id"] for row in rows[: len(decided)]] == decided
    assert stored(home, "SELECT count(*) FROM decisions") == [(len(ids),)]
    assert recommend_everyone(home, RecommendRequest(out=out))["run_id"] != run_id


def test_a_run_that_is_resumed_the_next_day_keeps_the_decisions_of_that_day(
    home: Home, ids: list[str]
) -> None:
    run_id, decided = killed_run(home, SERVICE)
    shop = home.shop()
    assert shop.clock.frozen_at is not None
    home.write_shop(replace(shop, clock=Clock(shop.clock.frozen_at + timedelta(days=1))))
    with ScoreLog(home) as log, DecisionLog(home) as decision_log:
        decider = Decider(open_scorer(home, log), decision_log)
        (key,) = decider.scorer.identity.keys(ids[-1:]).values()
        actions = decider.rules()
        (today,) = decider.decide({key: ids[-1]}, decider.question(actions, None, "api"), actions)
    with service(home) as ask:
        whole = to_its_end(ask, run_id)
    assert [row["decision_id"] for row in whole["rows"][: len(decided)]] == decided
    assert whole["rows"][-1]["decision_id"] == today.id
    days = Counter(row["decided_at"][:10] for row in whole["rows"])
    assert days == {"2024-07-01": len(decided), "2024-07-02": len(ids) - len(decided)}


def test_a_run_that_fails_says_why(home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with service(home) as ask:
        online = home.feast / "online.db"
        monkeypatch.setattr("records.job_worker._log.error", lambda *_: None)
        online.rename(online.with_suffix(".away"))
        run_id = ask("POST", RUNS, json={}).json()["run_id"]
        while (page := ask("GET", f"{RUNS}/{run_id}").json())["status"] == "running":
            pass
        assert page["status"] == "failed"
        assert "online store" in page["error"]
        online.with_suffix(".away").rename(online)
        assert run_to_its_end(ask)["done"] == len(ids)


def test_rows_tell_the_segments_that_their_customers_are_in(home: Home) -> None:
    with service(home) as ask:
        rows = run_to_its_end(ask, segment="value_tier:A")["rows"]
        assert ask("POST", RUNS, json={"segment": "value_tier:Z"}).status_code == 422
    assert len(rows) > 20
    assert {row["value_tier"] for row in rows} == {"A"}
    assert {row["rfm_segment"] for row in rows} <= set(RFM)
    assert {row["lifecycle_stage"] for row in rows} <= set(STAGES)
