"""The shared cases of events, sent to a real server: what it answers, and what features are computed from."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import ibis
import pyarrow as pa
import pytest
from fastapi import FastAPI

from benchmarks.harness import servers
from core.calendar import day_of
from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import Identity
from events.lake import compaction, shops
from events.lake.buckets import History
from events.schema import visible
from features.live.freshness import FreshnessMonitor
from features.live.recompute import valid_at
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.scores.scorer import Scorer

CASES = Path(__file__).parents[4] / "shared" / "cases" / "events"
NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
ZONE = "Europe/Berlin"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not in ../shared/cases/events")


def process() -> FastAPI:
    """What the server process runs."""
    home = Home(Path(os.environ["PATRON_HOME"]))
    scorer = SimpleNamespace(
        home=home,
        identity=Identity(home),
        shop=home.shop(),
        champions=NO_MODELS,
        freshness=FreshnessMonitor(home),
        close=lambda: None,
    )
    return create_app(cast(Scorer, scorer), ScoreLog(home), keys=Keys(home), keys_needed=True)


@dataclass(frozen=True)
class Right:
    """How a case comes out.

    Attributes:
        answers: of each call whether it is accepted (``+``) or goes to the quarantine (``-``).
        money: of each customer of the case, by the end of the id: orders, what they brought, what was given
            back.
        activities: how many activities of all customers are visible.
        times: of the activities, where the case is about a time: UTC, or the hours before the arrival.
    """

    answers: str
    money: tuple[tuple[int, str, str], ...] = ()
    activities: int = 0
    times: tuple[str | float, ...] = ()


def order(amount: str | int, back: str | int = 0, answers: str = "+") -> Right:
    """A case of one order."""
    return Right(answers, ((1, str(amount), str(back)),))


def at(time: str | float) -> Right:
    """A case of one activity, whose time matters."""
    return Right("+", activities=1, times=(time,))


REFUSED = Right("-")
CANCELLED = ((0, "0", "0"),)
RIGHT = {
    # Those that the cases' page names
    "order_twice_same_id_other_total": order(120, answers="++"),
    "order_updated": order(60, answers="++"),
    "refund_only_order_id_spec_full_refund": order(100, 100, "++"),
    "cancel_only_order_id": Right("++", CANCELLED),
    "refund_then_cancel": Right("+++", CANCELLED),
    "refund_more_than_paid": order(100, 100, "++"),
    "order_empty_products_total": order(37),
    # Orders
    "cart_then_order": Right("++++", ((1, "3", "0"),), 3),
    "currency_lower": order(10),
    "currency_missing": order(10),
    "currency_other": REFUSED,
    "currency_symbol": REFUSED,
    "no_messageId_no_time_twice_in_batch": order(10, answers="++"),
    "no_messageId_with_time_twice": order(10, answers="++"),
    "order_id_number": order(3),
    "order_no_products_no_total": REFUSED,
    "order_products_without_category_but_name": order("6.2"),
    "order_total_with_tax_and_shipping_only": order(37),
    "order_without_id": Right("++", ((2, "6", "0"),)),
    "partial_refund_products": order(35, 10, "++"),
    "price_de_comma": REFUSED,
    "price_euro_sign": REFUSED,
    "price_negative": REFUSED,
    "price_text_ok": order(25),
    "price_thousands_text": REFUSED,
    "product_id_number_and_null_fields": order(7),
    "products_1000": order(1000),
    "products_no_price_with_total": order(40),
    "products_object_not_list": REFUSED,
    "products_of_strings": order(10),
    "products_vs_revenue_conflict": order(20),
    "quantity_negative": REFUSED,
    "quantity_text": order(20),
    "quantity_zero": REFUSED,
    "quarantined_then_fixed_same_messageId": order("12.5", answers="-+"),
    "refund_before_order": order(100, 30, "++"),
    "revenue_bool": REFUSED,
    "revenue_huge": REFUSED,
    "revenue_infinity_text": REFUSED,
    "revenue_nan_text": REFUSED,
    "revenue_negative": REFUSED,
    "revenue_vs_total_vs_value": order(100),
    "revenue_zero": order(0),
    "segment_spec_example": order("22.5"),
    "spec_order_then_order_cancelled_same_props": Right("++", CANCELLED),
    "spec_order_then_refund_total_and_partial_products": order("22.5", 19, "++"),
    # Who is who
    "alias_chain": Right("+++++", activities=3),
    "anon_then_identify": Right("+++", activities=2),
    "duplicate_messageId_other_body_other_user": Right("++", ((1, "10", "0"), (1, "99", "0"))),
    "duplicate_messageId_same_body": order(10, answers="++"),
    "emoji_id": Right("++", activities=1),
    "identify_then_anon_order": order(10, answers="++"),
    "nul_in_id": Right("---"),
    "numeric_userid": Right("++--", activities=2),
    "rtl_id": Right("+", activities=1),
    "spaces": Right("++-", activities=2),
    "track_with_both_ids_no_identify": Right("+++", activities=3),
    "userid_anonymous_prefix": Right("-+"),
    # Traits and activities
    "activity_with_bad_price_and_currency": Right("----"),
    "nan_and_bool_strings": Right("+--"),
    "nested_traits": Right("+"),
    "null_traits": Right("+++"),
    "properties_as_string": Right("---+-", activities=1),
    "reserved_and_empty_names": Right("---++-", activities=2),
    "reserved_trait_names": Right("+"),
    "review_out_of_scale": Right("++", activities=2),
    "screen_page": Right("+++", activities=3),
    "traits_1500_small": Right("+"),
    # Times
    "ts_backfill_with_sentAt_now": Right("+", activities=1),
    "ts_comma_fraction": at("2026-11-20 10:00:00.123"),
    "ts_date_only": at("2026-11-20 00:00:00"),
    "ts_empty": REFUSED,
    "ts_epoch_ms_text": REFUSED,
    "ts_epoch_s": REFUSED,
    "ts_future_2h": Right("+", activities=1),
    "ts_future_3d": REFUSED,
    "ts_hour24": REFUSED,
    "ts_import_old_backfill_no_sentAt": at("2024-05-05 05:05:05"),
    "ts_iso_week": at("2026-11-20 00:00:00"),
    "ts_js_date_string": REFUSED,
    "ts_leap_second": REFUSED,
    "ts_lower_z": REFUSED,
    "ts_nanoseconds": at("2026-11-20 10:00:00.123456"),
    "ts_no_zone": at("2026-11-29 00:27:49.009917"),
    "ts_no_zone_space": at("2026-11-20 10:00:00"),
    "ts_null": at(0.0),
    "ts_offset": at("2026-11-28 22:27:45.608114"),
    "ts_original_and_timestamp": at("2026-11-28 01:28:17.011511"),
    "ts_original_only": at(48.0),
    "ts_receivedAt_given": at("2026-11-29 00:28:19.283253"),
    "ts_rfc2822": REFUSED,
    "ts_sentAt_bad": REFUSED,
    "ts_sentAt_before_timestamp": at(0.0),
    "ts_sentAt_empty": REFUSED,
    "ts_skew_client_1y_behind": at(30 / 3600),
    "ts_skew_client_2h_ahead": at(10 / 3600),
    "ts_year_0001": REFUSED,
    "ts_year_10000": REFUSED,
    "ts_year_1970": REFUSED,
}
WRITTEN = datetime(2026, 11, 29, 1, 28, tzinfo=UTC)
"""When the cases were written, to which times in the future are relative."""


def calls(case: str) -> list[tuple[str, bytes]]:
    """The paths and bodies of a case."""
    read = json.loads((CASES / f"{case}.json").read_text(encoding="utf-8"))
    stored = read if isinstance(read, list) else [{"path": "track", "body": read}]
    if case.startswith("ts_future"):
        for call in stored:
            time = datetime.fromisoformat(call["body"]["timestamp"]) + (datetime.now(UTC) - WRITTEN)
            call["body"]["timestamp"] = time.isoformat()
    bodies = (call["body"] for call in stored)
    contents = (ast.literal_eval(b) if isinstance(b, str) else json.dumps(b).encode() for b in bodies)
    return [(call["path"], content) for call, content in zip(stored, contents, strict=True)]


def customers(case: str) -> list[str]:
    """The customers whom a case names, each once."""
    read = json.loads((CASES / f"{case}.json").read_text(encoding="utf-8"))
    bodies = [call["body"] for call in read] if isinstance(read, list) else [read]
    messages = [m for b in bodies if isinstance(b, dict) for m in b.get("batch", [b])]
    ids = [m.get("userId") for m in messages]
    named = (str(i).strip() for i in ids if isinstance(i, str | int) and not isinstance(i, bool))
    return [i for i in dict.fromkeys(named) if i and "\0" not in i]


@dataclass(frozen=True)
class Outcome:
    """What became of all cases: the answers by case, and the tables by name and customer."""

    answers: dict[str, str]
    tables: dict[str, dict[str, dict[str, list[dict[str, Any]]]]]


def offline(home: Home, keys: list[int]) -> dict[str, pa.Table]:
    """The tables that features are computed from."""
    now = datetime.now(UTC) + timedelta(seconds=1)
    events = lake.read(home, lake.connect())
    moments = pa.array([now.replace(tzinfo=None)] * len(keys), pa.timestamp("us"))
    days = pa.array([day_of(now, ZONE)] * len(keys), pa.int32())
    population = ibis.memtable(pa.table({"customer_key": keys, "as_of": moments, "as_of_day": days}))
    return {name: visible(table, population).to_pyarrow() for name, table in events.items()}


def online(home: Home, keys: list[int]) -> dict[str, pa.Table]:
    """The tables that the live path computes from."""
    database = Database(home)
    tables = History(home, database).of(keys)
    database.close()
    return valid_at(tables, datetime.now(UTC))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every case is posted, and read before and after a compaction."""
    if datetime.now(UTC) < WRITTEN:
        pytest.skip("the clock is before the days of the cases")
    folder = tmp_path_factory.mktemp("cases")
    home = Home(folder / "home")
    shops.begin_live(home, ZONE, "EUR")
    _, key = Keys(home).create("shop", ["events"])
    environment = {"PATRON_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).parent)}
    program = servers.uvicorn("test_shared_cases:process")
    answers = {}
    with servers.running({"ours": program}, environment, folder) as started:
        url = f"http://{servers.HOST}:{started['ours'].port}/v1"
        with httpx.Client(auth=(key, ""), headers={"content-type": "application/json"}, timeout=60) as client:
            for case in RIGHT:
                responses = [client.post(f"{url}/{path}", content=content) for path, content in calls(case)]
                assert {r.status_code for r in responses} <= {200, 400}, case
                answers[case] = "".join("+" if r.status_code == 200 else "-" for r in responses)
    named = [customer for case in RIGHT for customer in customers(case)]
    names = {key: customer for customer, key in Identity(home).keys(named).items()}  # the last of merged ones
    keys = sorted(names)
    states = {"offline": offline(home, keys), "online": online(home, keys)}
    database = Database(home)
    compaction.compact(home, database)
    database.close()
    states |= {"offline, compacted": offline(home, keys), "online, compacted": online(home, keys)}
    tables: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    for state, parts in states.items():
        for name, table in parts.items():
            for row in table.to_pylist():
                of = tables.setdefault(state, {}).setdefault(names[row["customer_key"]], {})
                of.setdefault(name, []).append(row)
    return Outcome(answers, tables)


def money(tables: dict[str, list[dict[str, Any]]]) -> tuple[int, Decimal, Decimal]:
    lines, back = tables.get("order_lines", []), tables.get("refunds", [])
    paid, given = (sum((row["amount"] for row in rows), Decimal(0)) for rows in (lines, back))
    return len({row["order_id"] for row in lines}), paid, given


@pytest.mark.parametrize("case", RIGHT)
def test_the_case_comes_out_right(outcome: Outcome, case: str) -> None:
    right = RIGHT[case]
    assert outcome.answers[case] == right.answers
    for state, tables in outcome.tables.items():
        for customer, (orders, paid, back) in zip(customers(case), right.money, strict=False):
            assert money(tables.get(customer, {})) == (orders, Decimal(paid), Decimal(back)), state
        if not right.money:
            assert all(money(tables.get(customer, {})) == (0, 0, 0) for customer in customers(case)), state
        activities = tables.get(customers(case)[-1], {}).get("activities", [])
        assert len(activities) == right.activities, state
        for row, time in zip(activities, right.times, strict=False):
            if isinstance(time, str):
                assert row["timestamp"] == datetime.fromisoformat(time), state
            else:
                hours = (row["received_at"] - row["timestamp"]).total_seconds() / 3600
                assert hours == pytest.approx(time, abs=0.01), state


def test_no_case_is_left_out() -> None:
    assert set(RIGHT) == {path.stem for path in CASES.glob("*.json")}


def test_flags_and_traits_of_the_cases(outcome: Outcome) -> None:
    for tables in outcome.tables.values():
        traits = {
            customer: {row["name"]: row["value"] for row in sorted(of.get("traits", []), key=_stated)}
            for customer, of in tables.items()
        }
        (nulls,) = (traits[customer] for customer in customers("null_traits"))
        assert nulls == {"a": None, "b": None}  # null clears a trait
        (nested,) = (traits[customer] for customer in customers("nested_traits"))
        assert nested["address.city"] == "Z"
        (many,) = (traits[customer] for customer in customers("traits_1500_small"))
        assert Counter(name[0] for name in many) == {"t": 1500}


def _stated(row: dict[str, Any]) -> Any:
    return row["timestamp"], row["received_at"]
