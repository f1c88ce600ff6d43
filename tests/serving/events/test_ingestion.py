"""Events over HTTP: real clients, a real server process, and what is kept whatever happens."""

from __future__ import annotations

import asyncio
import base64
import gzip
import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from rudder_analytics.client import Client as RudderClient
from segment.analytics.client import Client as SegmentClient

from benchmarks.harness import servers
from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal, lake
from events.identity import Identity
from events.journal import Message, Refused
from events.lake import compaction as compact
from events.lake import shops
from events.segment import quarantine
from events.segment.translate import KINDS, Place
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.events.intake import MAX_WAITING, Intake, Overloaded
from serving.events.routes import MAX_BATCH_EVENTS
from serving.http.client_paths import ALIASES, DESCRIBED_PATHS
from serving.http.services import services_of
from serving.scores.scorer import Scorer

NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
ZIPPED = {"content-encoding": "gzip"}
EMPTY_EVENTS = gzip.compress(b'{"batch":[%s]}' % b",".join([b"{}"] * 100_000))  # less than 800 bytes
PLACE = Place("Europe/Berlin", "EUR")
AT = datetime(2024, 5, 4, 22, 30, 0, 250_000, tzinfo=UTC)


def open_shop(home: Home, stands_at: datetime | None = None) -> None:
    home.write_shop(Shop("events", PLACE.time_zone, PLACE.currency, Clock(stands_at)))


def application(home: Home, *, keys_needed: bool = False) -> FastAPI:
    """The service over a shop that has nothing to score yet."""
    scorer = SimpleNamespace(
        home=home,
        identity=Identity(home),
        shop=home.shop(),
        champions=NO_MODELS,
        freshness=FreshnessMonitor(home),
        close=lambda: None,
    )
    return create_app(cast(Scorer, scorer), ScoreLog(home), keys=Keys(home), keys_needed=keys_needed)


def process() -> FastAPI:
    """What the server process runs."""
    home = Home(Path(os.environ["PATRON_HOME"]), os.environ.get("PATRON_DATABASE"))
    return application(home, keys_needed=True)


@dataclass(frozen=True)
class Service:
    """A server process, and a key that it takes events with."""

    home: Home
    url: str
    key: str
    pid: int

    def post(self, path: str, body: Any, **given: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/{path}", json=body, auth=(self.key, ""), timeout=60, **given)


@contextmanager
def serving(home: Home, folder: Path) -> Iterator[Service]:
    open_shop(home)
    _, key = Keys(home).create("shop", ["events"])
    environment = {"PATRON_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).parent)}
    if home.database:
        environment["PATRON_DATABASE"] = home.database
    with servers.running({"ours": servers.uvicorn("test_ingestion:process")}, environment, folder) as started:
        server = started["ours"]
        yield Service(home, f"http://{servers.HOST}:{server.port}", key, server.process.pid)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server process over a database of each kind, shared by tests that use customers of their own."""
    folder = tmp_path_factory.mktemp("ingestion")
    database = None
    with ExitStack() as stack:
        if request.param == "postgresql":
            database = stack.enter_context(request.getfixturevalue("postgres").database())
        yield stack.enter_context(serving(Home(folder / "home", database), folder))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    open_shop(home)
    return home


def ask(app: FastAPI, path: str, **given: Any) -> httpx.Response:
    """One request, answered in this process."""

    headers = {"content-type": "application/json"} | given.pop("headers", {})

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            path_from_root = path if path.startswith("/") else f"/v1/{path}"
            return await client.request(given.pop("method", "POST"), path_from_root, headers=headers, **given)

    return asyncio.run(request())


def rows(home: Home, table: str = "activities") -> list[dict[str, Any]]:
    """What the journal holds of an event table."""
    try:
        result: list[dict[str, Any]] = journal.tail(Database(home), 0)[table].to_pylist()
    except NothingThere:
        return []
    return result


def names(home: Home) -> list[str]:
    return [row["name"] for row in rows(home)]


def waiting(home: Home) -> list[str]:
    """Why messages are in the quarantine, the newest first."""
    try:
        return [entry.reason for entry in quarantine.entries(Database(home), 100)]
    except NothingThere:
        return []


def track(event: str, **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "c1", "event": event} | more


def client_problem(response: httpx.Response, status: int) -> str:
    """What a refusal says, which clients understand."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body_value = response.json()
    assert body_value["message"] == body_value["detail"]
    assert body_value["code"]
    assert "Traceback" not in response.text
    return str(body_value["detail"])


# Clients as they are, over HTTP


def _segment(service: Service, zipped: bool, errors: list[Exception]) -> Any:
    return SegmentClient(
        service.key, host=service.url, gzip=zipped, upload_interval=0.05,
        on_error=lambda error, _: errors.append(error),
    )  # fmt: skip


def _rudder(service: Service, zipped: bool, errors: list[Exception]) -> Any:
    more = {"gzip": zipped} if "gzip" in inspect.signature(RudderClient).parameters else {}
    return RudderClient(
        service.key, host=service.url, flush_interval=0.05,
        on_error=lambda error, _: errors.append(error), **more,
    )  # fmt: skip


@pytest.mark.parametrize("make", [_segment, _rudder])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_clients_as_they_are_tell_everything(
    make: Callable[..., Any], zipped: bool, service: Service
) -> None:
    errors: list[Exception] = []
    client, tag = make(service, zipped, errors), f"{make.__name__}{zipped}"
    customer = f"c-{tag}"
    client.track(anonymous_id=tag, event=f"before {tag}", properties={"price": "2.50"})
    client.identify(customer, {"tag": tag}, anonymous_id=tag)
    client.group(customer, tag, {"plan": "gold"})
    client.page(customer, name=f"page {tag}")
    client.screen(customer, name=f"screen {tag}")
    client.alias(f"old-{tag}", customer)
    client.track(f"old-{tag}", f"after {tag}")
    products = [{"product_id": tag, "price": 19.99, "quantity": 2}]
    client.track(customer, "Order Completed", {"order_id": tag, "products": products, "discount": 0.98})
    client.flush()
    client.join()
    assert errors == []
    traits = {row["name"]: row["value"] for row in rows(service.home, "traits")}
    assert (traits["tag"], traits["group_id"], traits["group.plan"]) == (tag, tag, "gold")
    (line,) = [row for row in rows(service.home, "order_lines") if row["order_id"] == tag]
    assert (str(line["amount"]), line["quantity"]) == ("39.0000", 2)
    given_value = [row for row in rows(service.home) if tag in row["name"] + row["properties"]]
    assert [row["name"] for row in given_value] == [
        f"before {tag}",
        "Page Viewed",
        "Screen Viewed",
        f"after {tag}",
    ]
    assert {row["customer_key"] for row in (*given_value, line)} == {line["customer_key"]}


def test_a_refused_client_is_told_why_and_gives_up(service: Service) -> None:
    for make in (_segment, _rudder):
        errors: list[Exception] = []
        client = make(Service(service.home, service.url, "wrong", service.pid), False, errors)
        client.track("c1", "x")
        client.flush()
        client.join()
        (error,) = errors
        assert (vars(error)["status"], vars(error)["code"]) == (401, "unauthorized")
        assert "wrong or was revoked" in vars(error)["message"]


def test_what_is_told_again_counts_once(service: Service) -> None:
    message = track("told again", messageId="again-1")
    answers = [service.post("batch", {"batch": [message, message]}) for _ in range(2)]
    answers.append(service.post("track", message))
    assert [(answer.status_code, answer.json()["kept"]) for answer in answers] == [
        (200, 2),
        (200, 2),
        (200, 1),
    ]
    assert names(service.home).count("told again") == 1


def test_bad_ones_of_a_batch_wait_in_the_quarantine_and_count_as_of_then_once_they_fit(
    service: Service,
) -> None:
    database = Database(service.home)
    price = {"price": "7.50", "currency": "USD"}
    batch = [track("good one"), track("bad one", userId=None), track("dear one", properties=price)]
    answer = service.post(
        "batch", {"batch": batch, "writeKey": service.key, "sentAt": "2024-05-04T00:00:00Z"}
    )
    assert (answer.status_code, answer.json()) == (200, {"success": True, "kept": 1, "quarantined": 2})
    assert "good one" in names(service.home)
    assert waiting(service.home) == [
        "currency is not the shop's (EUR)",
        "there is neither userId nor anonymousId",
    ]
    newest = quarantine.entries(database, 1)[0]
    entry, message = quarantine.show(database, newest.id)
    assert entry == newest
    assert message == batch[2] | {"sentAt": "2024-05-04T00:00:00Z"}
    dollars = Place(PLACE.time_zone, "USD")
    for remaining in (1, 0):
        assert quarantine.replay(database, dollars, compacted_seq=0) == quarantine.Replayed(remaining, 1)
    (result,) = [row for row in rows(service.home) if row["name"] == "dear one"]
    assert result["received_at"].replace(tzinfo=UTC) == newest.received_at
    assert quarantine.drop(database) == 1
    assert waiting(service.home) == []


def test_kill_right_after_the_answer_keeps_what_was_answered(empty_home: Home, tmp_path: Path) -> None:
    with serving(empty_home, tmp_path) as service:
        assert service.post("batch", {"batch": [track(f"e{i}") for i in range(50)]}).status_code == 200
        os.kill(service.pid, signal.SIGKILL)
    assert names(empty_home) == [f"e{i}" for i in range(50)]


# Single events, and keys


@pytest.mark.parametrize("kind", KINDS)
def test_single_events_are_of_the_kind_of_their_route(kind: str, home: Home) -> None:
    app = application(home)
    event = {"userId": "c1", "type": "x", "event": "e", "traits": {"a": 1}, "groupId": "g", "previousId": "p"}
    answer = ask(app, kind, json=event)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "kept": 1, "quarantined": 0})
    assert waiting(home) == []
    text_value = client_problem(ask(app, kind, json=event | {"userId": None}), 400)
    assert "is in the quarantine: " in text_value
    assert len(waiting(home)) == 1


def test_a_key_is_basic_authentications_user_the_bearer_or_in_the_body(home: Home) -> None:
    keys = Keys(home)
    app = application(home, keys_needed=True)
    _, key = keys.create("shop", ["events"])
    _, other = keys.create("crm", ["scores"])

    def basic(text: str) -> dict[str, str]:
        return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    event = track("e")
    for headers in (basic(f"{key}:"), basic(f"{key}:any"), basic(key), {"authorization": f"Bearer {key}"}):
        assert ask(app, "track", json=event, headers=headers).status_code == 200
    assert ask(app, "track", json=event | {"writeKey": key}).status_code == 200
    assert ask(app, "batch", json={"batch": [event], "writeKey": key}).status_code == 200
    remaining = len(rows(home))
    wrong = (basic("wrong:"), basic(""), basic(f":{key}"), {"authorization": "Basic %%%"})
    for headers in wrong:
        assert "wrong or was revoked" in client_problem(ask(app, "track", json=event, headers=headers), 401)
    assert "wrong" in client_problem(ask(app, "track", json=event | {"writeKey": "x"}), 401)
    assert "a key is needed" in client_problem(ask(app, "track", json=event), 401)
    for content in (b"x", b"[]", b"x" * 600_000, b'{"writeKey": 5}'):
        assert "a key is needed" in client_problem(ask(app, "track", content=content), 401)
    assert "lacks" in client_problem(ask(app, "track", json=event, headers=basic(f"{other}:")), 403)
    assert "lacks" in client_problem(ask(app, "track", json=event | {"writeKey": other}), 403)
    assert len(rows(home)) == remaining
    for request_value in ({}, basic(f"{other}:")):  # only these routes look into the body
        answer = ask(app, "scores", json={"writeKey": key}, headers=request_value)
        assert answer.status_code in (401, 422)


@pytest.mark.parametrize("keys_needed", [True, False])
def test_a_write_key_counts_wherever_it_is(keys_needed: bool, home: Home) -> None:
    keys, app = Keys(home), application(home, keys_needed=keys_needed)
    _, key = keys.create("shop", ["events"])
    _, other = keys.create("crm", ["scores"])
    plain = {"content-type": "text/plain;charset=UTF-8"}  # as navigator.sendBeacon; only a key lets it in

    def answers(key: str) -> list[httpx.Response]:
        event, batch = track("e"), {"batch": [track("e"), track("e")]}
        each = {"batch": [track("e", writeKey=key), 1, track("e", writeKey=key), track("e")]}
        return [
            ask(app, "track", headers=plain, json=event | {"writeKey": key}),
            ask(app, "batch", headers=plain, json=batch | {"writeKey": key}),
            ask(app, "batch", headers=plain, json=each),
            ask(app, f"track?writeKey={key}", headers=plain, json=event),
            ask(app, f"batch?writeKey={key}", headers=plain, json=batch | {"writeKey": key}),
            ask(app, "track", headers=plain | {"x-write-key": key}, json=event),
            ask(app, "batch", headers=plain | {"WriteKey": key}, json=batch),
        ]

    assert [answer.status_code for answer in answers(key)] == [200] * 7
    assert waiting(home) == ["it is not an object"]
    for answer in answers("wrong"):
        client_problem(answer, 401 if keys_needed else 415)
    for answer in answers(other):
        assert "lacks" in client_problem(answer, 403)
    stored = len(rows(home))
    mixed = {"batch": [track("e", writeKey=key), track("e", writeKey=other)]}
    assert "several write keys" in client_problem(ask(app, "batch", json=mixed), 401)
    headers = {"x-write-key": other}
    answer = ask(app, "track", json=track("e", writeKey=key), headers=headers)
    assert "several write keys" in client_problem(answer, 401)
    assert len(rows(home)) == stored
    headers = {"authorization": f"Bearer {key}"}  # which makes write keys of others, as of a relay, none
    assert ask(app, "batch", json=mixed, headers=headers).status_code == 200


def test_only_routes_of_events_look_at_write_keys(home: Home) -> None:
    app = application(home, keys_needed=True)
    _, key = Keys(home).create("shop", ["all"])
    for path in ("scores", "segments", "models"):
        answer = ask(app, f"{path}?writeKey={key}", headers={"x-write-key": key}, json={"writeKey": key})
        assert answer.status_code in (401, 405)


def test_a_key_in_the_body_is_kept_nowhere(home: Home) -> None:
    app = application(home, keys_needed=True)
    _, key = Keys(home).create("shop", ["events"])
    assert ask(app, "track", json={"writeKey": key, "event": "x"}).status_code == 400
    assert ask(app, "batch", json={"batch": [{"writeKey": key}]}).status_code == 200
    given_value = [
        quarantine.show(Database(home), entry.id)[1] for entry in quarantine.entries(Database(home), 9)
    ]
    assert given_value == [{}, {"event": "x", "type": "track"}]


@pytest.mark.parametrize(("path", "route"), sorted(ALIASES.items()))
def test_further_paths_do_what_their_route_does(path: str, route: str, home: Home) -> None:
    app = application(home)
    event = {"userId": "c1", "event": "e", "traits": {"a": 1}, "groupId": "g", "previousId": "p"}
    body = {"batch": [event | {"type": "track"}]} if route == "/v1/batch" else event | {"messageId": "1"}
    for again in (path, route):
        answer = ask(app, again, json=body)
        assert (answer.status_code, answer.json()["kept"]) == (200, 1)
    kind = route.removeprefix("/v1/")
    made = {"identify": "traits", "group": "traits", "alias": None}.get(kind, "activities")
    assert {name for name in ("traits", "activities") if rows(home, name)} == ({made} if made else set())
    assert ask(app, path, content=b"x").json()["code"] == "bad_request"
    wrong = ask(app, path, method="GET")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert path not in app.openapi()["paths"]


# Bodies of every kind


def test_a_batch_of_too_many_events_is_refused_whole(home: Home) -> None:
    app = application(home)
    detail = client_problem(ask(app, "batch", json={"batch": [0] * (MAX_BATCH_EVENTS + 1)}), 400)
    assert detail == "batch: 2,501 events, at most 2,500; nothing was stored"
    assert waiting(home) == []
    events = [*[track("e", messageId=f"{i}") for i in range(MAX_BATCH_EVENTS - 1)], 0]
    assert ask(app, "batch", json={"batch": events}).json() == {
        "success": True,
        "kept": MAX_BATCH_EVENTS - 1,
        "quarantined": 1,
    }


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"content": b""}, 400, "not JSON"),
        ({"content": b"{"}, 400, "not JSON"),
        ({"content": b'{"a": "\xff"}'}, 400, "not JSON"),
        ({"content": b'{"batch": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"}, 400, "not JSON"),
        ({"content": b'{"batch": [' + b"9" * 5000 + b"]}"}, 400, "not JSON"),
        ({"json": []}, 400, "not a JSON object"),
        ({"json": None, "content": b"null"}, 400, "not a JSON object"),
        ({"json": {}}, 400, "a list of events"),
        ({"json": {"batch": {}}}, 400, "a list of events"),
        ({"content": b" " * 512_001}, 400, "larger than 500 KB"),
        ({"content": gzip.compress(b" " * 50_000_000), "headers": ZIPPED}, 400, "larger than"),
        ({"content": EMPTY_EVENTS, "headers": ZIPPED}, 400, "more than 50,000 objects"),
        ({"content": b"{}", "headers": ZIPPED}, 400, "not gzip"),
        ({"content": gzip.compress(b"{}")[:-4], "headers": ZIPPED}, 400, "cut off"),
        ({"content": gzip.compress(b"{}") * 2, "headers": ZIPPED}, 400, "goes on after"),
        ({"content": b"{}", "headers": {"content-encoding": "br"}}, 415, "gzip, or none"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_batch_are_refused_whole(
    given: dict[str, Any], status: int, words: str, home: Home
) -> None:
    assert words in client_problem(ask(application(home), "batch", **given), status)
    assert waiting(home) == []


def test_without_a_key_a_web_page_of_others_cannot_send(home: Home) -> None:
    app, plain = application(home), {"content-type": "text/plain"}
    assert "application/json" in client_problem(ask(app, "track", json=track("x"), headers=plain), 415)
    _, key = Keys(home).create("shop", ["events"])
    headers = plain | {"authorization": f"Bearer {key}"}
    assert ask(app, "track", json=track("x"), headers=headers).status_code == 200


def test_an_empty_batch_is_answered_and_keeps_nothing(home: Home) -> None:
    answer = ask(application(home), "batch", json={"batch": []})
    assert (answer.status_code, answer.json()["kept"]) == (200, 0)
    assert waiting(home) == []


def test_a_batch_says_for_all_what_they_do_not_say_themselves(home: Home) -> None:
    own, library = {"library": {"name": "analytics-ios"}}, {"library": {"name": "analytics.js"}}
    batch = {"batch": [track("x"), track("y", context=own)], "context": library}
    assert ask(application(home), "batch", json=batch).status_code == 200
    assert {row["name"]: row["channel"] for row in rows(home)} == {"x": "web", "y": "app"}


def test_whatever_a_batch_holds_it_is_never_the_services_fault(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    open_shop(home)
    app = application(home)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )

    @given(st.lists(anything | st.fixed_dictionaries({"type": st.sampled_from(KINDS), "userId": anything})))
    def tell(batch: list[Any]) -> None:
        content = json.dumps({"batch": batch}).encode("utf-8", "surrogatepass")
        answer = ask(app, "batch", content=content)
        assert answer.status_code == 200, answer.text
        assert answer.json()["kept"] + answer.json()["quarantined"] == len(batch)

    tell()


# When the service cannot


def test_in_a_shop_whose_clock_stands_still_nothing_can_happen(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    open_shop(home, AT)
    for path in ("track", "batch"):
        assert "--live" in client_problem(ask(application(home), path, json=track("x") | {"batch": []}), 409)
    assert waiting(home) == []


def test_while_the_database_is_away_nothing_is_acknowledged_and_the_service_goes_on(home: Home) -> None:
    app = application(home)
    assert ask(app, "track", json=track("before")).status_code == 200
    remaining = home.database_file.rename(home.path / "away")
    for extra in ("-wal", "-shm"):
        home.database_file.with_name(f"patron.db{extra}").unlink(missing_ok=True)
    home.database_file.mkdir()
    assert "cannot be used" in client_problem(ask(app, "batch", json={"batch": [track("lost")]}), 503)
    assert "cannot be used" in client_problem(ask(app, "track", json={"event": "bad"}), 503)
    home.database_file.rmdir()
    remaining.rename(home.database_file)
    assert ask(app, "track", json=track("after")).status_code == 200
    assert names(home)[-1] == "after"
    assert "lost" not in names(home)


def test_on_a_full_disk_nothing_is_acknowledged_and_the_service_goes_on(home: Home) -> None:
    app = application(home)
    assert ask(app, "track", json=track("before")).status_code == 200

    def pages(most: int) -> None:
        """Let the file grow to so many pages; the connection is the writer's, as it is the only one."""
        with Database(home).reading() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")

    pages(1)
    large = [track("large", properties={"text": "x" * 30_000}) for _ in range(10)]
    assert "full" in client_problem(ask(app, "batch", json={"batch": large}), 503)
    pages(1_000_000)
    assert ask(app, "batch", json={"batch": [track("after")]}).status_code == 200
    assert names(home) == ["before", "after"]


def test_when_too_many_wait_more_are_sent_away_for_a_moment(home: Home) -> None:
    app = application(home)
    intake = services_of(app)[Intake]
    database = Database(home)
    with database.writing():  # nobody else can
        one = Message("m", AT, "c1")
        first = [intake.store([one], []) for _ in range(2)]
        second = intake.store([one] * (MAX_WAITING - 2), [])
        with pytest.raises(Overloaded):
            intake.store([one] * 3, [])
        answer = ask(app, "batch", json={"batch": [track(f"{i}") for i in range(3)]})
        assert "send these again" in client_problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
    for future in (*first, second):
        future.result(60)
    assert ask(app, "track", json=track("x")).status_code == 200
    intake.close()
    with pytest.raises(Overloaded):
        intake.store([one], [])


def test_one_who_tells_what_cannot_be_kept_fails_alone(empty_home: Home) -> None:
    with closing(Intake(empty_home)) as intake:
        with Database(empty_home).writing():  # so that all three wait for one commit
            good = intake.store([Message("m1", AT, "c1")], [])
            bad = intake.store([Message("m2", AT, "c\0\ud800")], [])
            other = intake.store([Message("m3", AT, "c3")], [Refused(AT, "why", "{}")])
        good.result(60)
        other.result(60)
        with pytest.raises((PatronError, UnicodeError)):
            bad.result(60)
    assert journal.last(Database(empty_home)) == 2
    assert waiting(empty_home) == ["why"]


def test_what_arrives_after_an_older_database_was_put_back_is_seen(empty_home: Home) -> None:
    home = empty_home
    shops.begin_live(home, PLACE.time_zone, PLACE.currency)
    database = Database(home)
    journal.append(database, [Message(f"m{i}", AT, "c1") for i in range(3)], compacted_seq=0)
    compact.compact(home, database)
    with database.writing() as connection:
        journal.clear(connection, 0)
        connection.execute(sa.update(journal.counter).values(last_seq=1))  # as the copy has it
    with closing(Intake(home)) as intake:
        intake.store([Message("new", AT, "c1")], []).result(60)
    assert lake.current(home).compacted_seq == 3
    assert journal.changes(database, 3).customer_keys


def test_what_waits_when_the_service_ends_is_kept(home: Home) -> None:
    app = application(home)

    async def tell() -> None:
        async with app.router.lifespan_context(app):
            for i in range(20):
                services_of(app)[Intake].store([Message(f"m{i}", AT, "c1")], [])

    asyncio.run(tell())
    assert journal.last(Database(home)) == 20


def test_the_routes_are_described_with_examples_that_hold(home: Home) -> None:
    app = application(home)
    described = app.openapi()["paths"]
    for path in DESCRIBED_PATHS:
        operation = described[path]["post"]
        body = operation["requestBody"]["content"]["application/json"]
        answer = ask(app, path.removeprefix("/v1/"), json=body["example"] | {"timestamp": None})
        assert (answer.status_code, answer.json()["quarantined"]) == (200, 0)
        refusal = operation["responses"]["400"]["content"]["application/problem+json"]["schema"]
        assert refusal == {"$ref": "#/components/schemas/ClientProblem"}
    assert {"code", "message"} <= set(app.openapi()["components"]["schemas"]["ClientProblem"]["required"])


# The quarantine


def test_the_quarantine_counts_reasons_and_knows_its_messages_by_number(empty_home: Home) -> None:
    database = Database(empty_home)
    refused = [Refused(AT, "why", '{"secret": 1}'), Refused(AT, "what", "null"), Refused(AT, "why", "[]")]
    journal.append(database, [], refused, compacted_seq=0)
    assert [(r.reason, r.count, r.first, r.last) for r in quarantine.reasons(database)] == [
        ("why", 2, AT, AT), ("what", 1, AT, AT),
    ]  # fmt: skip
    first = quarantine.entries(database, 10)[-1]
    assert [entry.reason for entry in quarantine.entries(database, 2)] == ["why", "what"]
    assert quarantine.show(database, first.id) == (first, {"secret": 1})
    with pytest.raises(NothingThere, match="no message 999 is in the quarantine"):
        quarantine.drop(database, [first.id, 999])
    assert len(waiting(empty_home)) == 3
    assert quarantine.drop(database, [first.id, first.id]) == 1
    with pytest.raises(NothingThere, match=f"no message {first.id} is"):
        quarantine.show(database, first.id)
    assert quarantine.replay(database, PLACE, compacted_seq=0) == quarantine.Replayed(0, 2)
