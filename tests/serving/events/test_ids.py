"""Ids over HTTP: one spelling, placeholders, slashes in paths, and the shared cases about who is who."""

from __future__ import annotations

import ast
import asyncio
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.home import Home
from core.storage.database import Database
from events import journal
from events.identity import ANONYMOUS, Identity
from events.identity.customer_ids import BLANKS, PLACEHOLDERS, fold, has_control_character, is_placeholder
from events.lake import compaction, shops
from events.segment.retention import size
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.app import create_app
from serving.operations import checks
from serving.scores.scorer import Scorer

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "events"
NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)
Ask = Callable[..., httpx.Response]


def service(home: Home) -> Ask:
    """The service over a shop that has nothing to score yet, in this process."""
    scorer = SimpleNamespace(
        home=home,
        identity=Identity(home),
        shop=home.shop(),
        champions=NO_MODELS,
        freshness=FreshnessMonitor(home),
        close=lambda: None,
    )
    app = create_app(cast(Scorer, scorer), ScoreLog(home))

    def ask(path: str, **given: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
                return await client.request(given.pop("method", "GET"), path, **given)

        return asyncio.run(request())

    return ask


def live_home(folder: Path) -> Home:
    """A shop whose clock is an hour ahead, so that what has just arrived is visible."""
    home = Home(folder / "home", wall=lambda: datetime.now(UTC) + timedelta(hours=1))
    shops.begin_live(home, "UTC", "EUR")
    return home


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return live_home(tmp_path_factory.mktemp("ids"))


@pytest.fixture(scope="module")
def ask(shared_home: Home) -> Ask:
    return service(shared_home)


def post(ask: Ask, body: Any, path: str = "track") -> httpx.Response:
    """Send a body; a text of the form ``b'...'`` is sent as these bytes."""
    raw = ast.literal_eval(body) if isinstance(body, str) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return ask(f"/v1/{path}", method="POST", content=raw, headers=headers)


def sent(ask: Ask, customer_id: str, name: str, field: str = "userId") -> httpx.Response:
    return post(ask, {field: customer_id, "event": name})


def timeline(ask: Ask, customer_id: str) -> list[str] | None:
    """What a customer's timeline names, sorted; None if the customer is unknown."""
    response = ask(f"/v1/customers/{quote(customer_id, safe='')}/timeline?limit=200")
    if response.status_code == 404:
        return None
    assert response.status_code == 200, response.text
    return sorted(event.get("name") or event["kind"] for event in response.json()["events"])


NUMBERS = count()
TEXTS = st.text(
    st.sampled_from("aéE\u0308\u0301\u212b\u1e9b\u0323ﬁ가ᄀ\u200d😀שA %?#&+/.\\:;\u202e"), max_size=8
)


@given(TEXTS, st.text(BLANKS, max_size=2), st.text(BLANKS, max_size=2), st.sampled_from(["NFC", "NFD"]))
@settings(max_examples=40)
def test_every_spelling_of_an_id_reads_the_customers_own_events(
    ask: Ask, text: str, before: str, after: str, form: str
) -> None:
    number = next(NUMBERS)
    customer_id = fold(f"{number}:{text}")
    other = f"{customer_id}/timeline"
    spelt = before + unicodedata.normalize(cast(Any, form), customer_id) + after
    for each, name in ((customer_id, "a"), (spelt, "b"), (other, "other")):
        assert sent(ask, each, name).status_code == 200
    assert timeline(ask, customer_id) == timeline(ask, spelt) == ["a", "b"]
    assert timeline(ask, other) == timeline(ask, f" {other}") == ["other"]
    assert timeline(ask, f"{other}/timeline") is None
    if fold(swapped := customer_id.swapcase()) != customer_id:
        assert timeline(ask, swapped) is None


@given(
    st.sampled_from([*PLACEHOLDERS, "0", "0000", "-", "00000000-0000-0000-0000-000000000000"]),
    st.sampled_from([str, str.upper, str.title]),
    st.text(BLANKS, max_size=2),
)
@settings(max_examples=40)
def test_a_placeholder_is_nobody(ask: Ask, text: str, case: Callable[[str], str], blanks: str) -> None:
    placeholder = blanks + case(text) + blanks
    for field in ("userId", "anonymousId"):
        response = sent(ask, placeholder, "x", field)
        assert response.status_code == 400
        assert f"{field} is a placeholder" in response.text
        assert timeline(ask, (ANONYMOUS if field == "anonymousId" else "") + placeholder) is None
    good = f"good{next(NUMBERS)}"
    assert post(ask, {"userId": good, "anonymousId": placeholder, "event": "y"}).status_code == 200
    assert timeline(ask, good) == ["y"]
    alias = post(ask, {"userId": good, "previousId": placeholder}, "alias")
    assert alias.status_code == 400


CONTROL = st.characters(categories=["Cc"])


@given(CONTROL, st.sampled_from(["userId", "anonymousId"]))
@settings(max_examples=30)
def test_a_control_character_within_an_id_is_refused_and_around_it_a_blank(
    ask: Ask, sign: str, field: str
) -> None:
    number = next(NUMBERS)
    response = sent(ask, f"{number}a{sign}b", "x", field)
    assert response.status_code == 400
    assert "control character" in response.text or "NUL" in response.text
    around = sent(ask, f"{sign}{number}c{sign}", "x", field)
    assert around.status_code == (200 if sign in BLANKS else 400)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
@settings(max_examples=40)
def test_an_id_that_is_taken_is_reachable_and_one_that_is_not_is_nobodys(ask: Ask, text: str) -> None:
    folded = fold(text)
    response = sent(ask, text, "known")
    taken = bool(folded) and not is_placeholder(folded) and not has_control_character(folded)
    taken = taken and not folded.startswith(ANONYMOUS)
    assert response.status_code == (200 if taken else 400)
    if taken:
        assert "known" in (timeline(ask, text) or [])


# The shared cases

Right = tuple[dict[str, list[str] | None], int, int]
"""What timelines name by id (None: unknown), the events in quarantine, and the conflicts of message ids."""


def same(*customer_ids: str, names: list[str]) -> dict[str, list[str] | None]:
    return dict.fromkeys(customer_ids, names)


RIGHT: dict[str, Right] = {
    "alias_chain": (
        same("t-alias-455051", "t-alias-455052", "t-alias-455053", names=["A", "B", "C"]), 0, 0
    ),
    "anon_then_identify": (
        same("t-anonA-66a27", "anonymous:t-anonA-66a27-d", names=["After", "Product Viewed"]), 0, 0
    ),
    "identify_then_anon_order": (same("t-anonB-e9764", "anonymous:t-anonB-e9764-d", names=["order"]), 0, 0),
    "track_with_both_ids_no_identify": (
        same(
            "t-trackboth-53d87", "anonymous:t-trackboth-53d87-d", names=["AnonView", "AnonView2", "LoggedIn"]
        ), 0, 0,
    ),
    "duplicate_messageId_same_body": ({"t-dup-4fa6d": ["order"]}, 0, 0),
    "duplicate_messageId_other_body_other_user": (
        {"t-dup2-571261": ["order"], "t-dup2-571262": ["order"]}, 0, 1
    ),
    "quarantined_then_fixed_same_messageId": ({"t-dup5-f4678": ["order"]}, 1, 0),
    "no_messageId_with_time_twice": ({"t-dup4-c7dda": ["order"]}, 0, 0),
    "no_messageId_no_time_twice_in_batch": ({"t-dup3-4c152": ["order"]}, 0, 0),
    "emoji_id": ({"t-😀👨‍👩‍👧-81d6": ["name", "Кошик 🛒"]}, 0, 0),
    "numeric_userid": ({"5915506": ["A", "B"], "5915506.5": None, "true": None}, 2, 0),
    "nul_in_id": ({"t-nul-4613b": None}, 3, 0),
    "spaces": ({"t-sp-73300": ["A", "B"], " t-sp-73300 ": ["A", "B"]}, 1, 0),
    "userid_anonymous_prefix": (same("t-anonpref-7e7c7", "anonymous:t-anonpref-7e7c7", names=[]), 1, 0),
    "null_traits": ({"t-null-a0963": ["b"]}, 0, 0),
    "nan_and_bool_strings": ({"t-nanstr-58633": ["age", "newsletter", "x"]}, 2, 0),
    "reserved_trait_names": (
        {"t-resv-ed4e3": ["__proto__.a", "channel", "customer_key", "group_id", "id", "name", "value"]}, 0, 0
    ),
}  # fmt: skip


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not there")
@pytest.mark.parametrize("name", sorted(RIGHT))
def test_a_case_about_ids_comes_out_as_it_should(tmp_path: Path, name: str) -> None:
    home = live_home(tmp_path)
    ask, (names, quarantined, conflicts) = service(home), RIGHT[name]
    for call in json.loads((CASES / f"{name}.json").read_text()):
        post(ask, call["body"], call["path"])
    database = Database(home)
    for _ in range(2):
        assert {customer_id: timeline(ask, customer_id) for customer_id in names} == names
        assert size(database).events == quarantined
        assert journal.count_conflicts(database) == conflicts
        assert f"patron_message_conflicts_total {conflicts}.0" in ask("/metrics").text
        compaction.compact(home, database)


def test_one_message_id_with_two_bodies_is_counted_by_metrics_and_doctor(tmp_path: Path) -> None:
    home = live_home(tmp_path)
    ask = service(home)
    first = {"messageId": "m", "userId": "ann", "event": "a", "sentAt": "2024-05-01T00:00:00Z"}
    again = first | {"sentAt": "2024-05-01T00:00:09Z"}
    for body in (first, again, first | {"event": "b"}, first | {"userId": "bob"}, first | {"event": "b"}):
        assert post(ask, body).status_code == 200
    assert (timeline(ask, "ann"), timeline(ask, "bob")) == (["a", "b"], ["a"])
    assert "patron_message_conflicts_total 2.0" in ask("/metrics").text
    (check,) = checks.identity(home)
    assert (check.state, check.result) == (
        checks.WARNING,
        "2 messages came with the messageId of another message; each was stored",
    )


def test_doctor_counts_ids_that_differ_only_in_case(tmp_path: Path) -> None:
    home = live_home(tmp_path)
    ask = service(home)
    for customer_id in ("Ann", "ANN", "ann ", "bob", "Zoë", "ZOË"):
        assert sent(ask, customer_id, "x").status_code == 200
    (check,) = checks.identity(home)
    assert check.result.startswith("5 customers whose ids differ only in case")
