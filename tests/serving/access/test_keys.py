"""API keys: how they are kept, and who is let in by which route, over ASGI and by a real process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from records import ScoreLog
from serving.access.authentication import CallerDep
from serving.access.key_table import PREFIX_LENGTH
from serving.access.keys import Keys
from serving.access.scopes import Scope
from serving.app import create_app
from serving.http.client_paths import ALIASES
from serving.scores.scorer import Scorer, open_scorer
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
OPEN = ("/healthz", "/readyz")
NEVER_MADE = "patron_" + "A" * 43


@pytest.fixture
def keys(empty_home: Home) -> Iterator[Keys]:
    """The keys of a new home, which looks into its database every time."""
    with closing(Keys(empty_home, recheck_seconds=0)) as keys:
        yield keys


# How they are kept


def test_a_key_is_256_random_bits_and_only_its_digest_is_kept(keys: Keys, empty_home: Home) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    key, secret = keys.create(" crm ", ["decisions", " scores", "scores"])
    assert re.fullmatch(r"patron_[A-Za-z0-9_-]{43}", secret)
    assert (key.name, key.prefix) == ("crm", secret[:PREFIX_LENGTH])
    assert key.scopes == ("scores", "decisions")
    assert before <= key.created <= datetime.now(UTC)
    assert key.revoked is None
    assert len({secret, *(keys.create(f"{i}", ["all"])[1] for i in range(20))}) == 21
    assert keys.all()[0] == key
    with Database(empty_home).reading() as connection:
        row = connection.execute(sa.text("SELECT * FROM keys WHERE name = 'crm'")).one()
    assert bytes(row.digest) == hashlib.sha256(secret.encode()).digest()
    assert secret[PREFIX_LENGTH:] not in repr(row)
    assert secret[PREFIX_LENGTH:] not in repr(key)


@pytest.mark.parametrize(
    ("name", "scopes", "words"),
    [
        ("", ["all"], "1 to 60 printable"),
        ("  ", ["all"], "1 to 60 printable"),
        ("x" * 61, ["all"], "1 to 60 printable"),
        ("two\nlines", ["all"], "1 to 60 printable"),
        (NEVER_MADE, ["all"], "must not begin with patron_"),
        ("crm", [], "name the key's scopes: scores, .*, all"),
        ("crm", ["", " "], "name the key's scopes"),
        ("crm", ["scores", "scoers"], "there is no scope 'scoers'; there are scores, "),
        ("crm", ["ALL"], "there is no scope 'ALL'"),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_words(
    name: str, scopes: list[str], words: str, keys: Keys, empty_home: Home
) -> None:
    with pytest.raises(PatronError, match=words):
        keys.create(name, scopes)
    assert not empty_home.path.exists()
    assert keys.all() == []


def test_names_are_unique_among_the_living(keys: Keys) -> None:
    keys.create("crm", ["all"])
    with pytest.raises(PatronError, match="there is a valid key 'crm'"):
        keys.create("crm", ["scores"])
    keys.revoke("crm")
    keys.create("crm", ["scores"])
    assert [(key.name, key.scopes, bool(key.revoked)) for key in keys.all()] == [
        ("crm", ("all",), True),
        ("crm", ("scores",), False),
    ]


def test_of_many_who_want_one_name_at_once_one_gets_it(keys: Keys) -> None:
    def create(_: int) -> bool:
        with suppress(PatronError):
            return bool(keys.create("crm", ["all"]))
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert len(keys.all()) == 1


@pytest.mark.parametrize("named_by", ["name", "prefix", "key"])
def test_a_key_is_revoked_by_its_name_its_first_characters_or_itself(named_by: str, keys: Keys) -> None:
    keys.create("other", ["all"])
    key, secret = keys.create("crm", ["all"])
    word = {"name": "crm", "prefix": key.prefix, "key": secret}[named_by]
    (revoked,) = keys.revoke(word)
    assert (revoked.name, revoked.prefix) == ("crm", key.prefix)
    assert revoked.revoked is not None
    assert keys.find(secret) is None
    assert keys.all()[1] == revoked
    assert [living.name for living in keys.living()] == ["other"]
    with pytest.raises(PatronError, match="no valid key has the name or prefix") as refused:
        keys.revoke(word)
    assert secret not in str(refused.value)


def test_revoking_what_is_not_there_is_refused_and_makes_nothing(keys: Keys, empty_home: Home) -> None:
    with pytest.raises(PatronError, match="no valid key has the name or prefix 'crm'"):
        keys.revoke("crm")
    assert not empty_home.path.exists()


# Finding a key, while others change the file


def test_only_the_whole_key_is_found(keys: Keys) -> None:
    key, secret = keys.create("crm", ["all"])
    assert keys.find(secret) == key
    for wrong in (*spoilt(secret), NEVER_MADE, "patron_", "ä"):
        assert keys.find(wrong) is None


def spoilt(secret: str) -> list[str]:
    """Strings that are nearly the key."""
    return [
        "", secret[:-1], secret[:PREFIX_LENGTH], secret + "x", secret[:-1] + "!",
        secret.swapcase(), secret.removeprefix("patron_"), f"{secret} {secret}",
    ]  # fmt: skip


def test_what_another_process_creates_and_revokes_is_seen(keys: Keys, empty_home: Home) -> None:
    assert keys.find(NEVER_MADE) is None  # where there is no database yet
    other = Keys(empty_home)
    made = [other.create(f"{i}", ["all"]) for i in range(5)]
    for i, (key, secret) in enumerate(made):
        assert keys.find(secret) == key
        other.revoke(key.name)
        assert keys.find(secret) is None
        _, another = other.create(f"another {i}", ["scores"])
        assert keys.find(another) is not None


def test_between_two_looks_at_the_database_memory_answers(keys: Keys, empty_home: Home) -> None:
    key, secret = keys.create("crm", ["all"])
    with closing(Keys(empty_home, recheck_seconds=1e9)) as patient:
        assert not patient.fresh
        assert patient.find(secret) == key
        assert patient.fresh
        keys.revoke("crm")
        assert patient.find(secret) == key
        patient.close()
        assert patient.find(secret) is None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Home(tmp_path / "home").database_file


@pytest.fixture
def file_keys(file: Path) -> Iterator[Keys]:
    with closing(Keys(Home(file.parent), recheck_seconds=0, cache_seconds=0)) as keys:
        yield keys


def test_a_file_put_in_its_place_holds_at_once(file: Path, file_keys: Keys) -> None:
    _, first = file_keys.create("first", ["all"])
    file_keys.close()  # so that the file is whole
    backup = file.read_bytes()
    _, second = file_keys.create("second", ["all"])
    assert file_keys.find(second)
    draft = file.with_suffix(".draft")
    draft.write_bytes(backup)
    file_keys.close()
    os.replace(draft, file)
    assert file_keys.find(second) is None
    assert file_keys.find(first)
    file.unlink()
    assert file_keys.find(first) is None


def test_while_another_process_commits_the_known_keys_go_on(keys: Keys, empty_home: Home) -> None:
    key, secret = keys.create("crm", ["all"])
    with Database(empty_home).writing() as other:
        other.execute(sa.text("UPDATE keys SET revoked = created"))
        assert keys.find(secret) == key
    assert keys.find(secret) is None


@pytest.mark.parametrize("damage", ["text", "another database", "a folder"])
def test_over_a_damaged_file_nothing_is_found_and_every_method_says_why(
    damage: str, file: Path, file_keys: Keys
) -> None:
    _, secret = file_keys.create("crm", ["all"])
    assert file_keys.find(secret)
    file_keys.close()
    file.rename(file.with_suffix(".away"))
    if damage == "text":
        file.write_text("not a database " * 1000)
    elif damage == "a folder":
        file.mkdir()
    else:
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE alembic_version (other TEXT)")
    for use in (
        lambda: file_keys.find(secret), file_keys.all, file_keys.living, lambda: file_keys.revoke("crm"),
        lambda: file_keys.create("new", ["all"]),
    ):  # fmt: skip
        with pytest.raises(PatronError, match=r"the database .*patron\.db cannot be used"):
            use()
    file.rmdir() if damage == "a folder" else file.unlink()
    file.with_suffix(".away").rename(file)
    assert file_keys.find(secret)


# Over HTTP


def ask(app: FastAPI, path: str, key: str | None = None, method: str = "GET", **given: Any) -> httpx.Response:
    """One request, answered in this process."""
    headers = given.pop("headers", {}) | ({} if key is None else {"authorization": f"Bearer {key}"})

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            return await client.request(method, path, headers=headers, **given)

    return asyncio.run(request())


def detail_of(response: httpx.Response, status: int) -> str:
    """What a problem document says; 401 comes with the challenge, and nothing else does."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert response.json()["status"] == status
    assert "patron_" not in response.text
    return str(response.json()["detail"])


@pytest.fixture(scope="module")
def scorer(
    trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any
) -> Iterator[tuple[Scorer, ScoreLog]]:
    """A scorer over a copy of the trained shop, and its log."""
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("keys") / "home")
    with ScoreLog(home) as log:
        yield open_scorer(home, log), log


@pytest.fixture
def guarded(scorer: tuple[Scorer, ScoreLog], keys: Keys) -> FastAPI:
    """The service where other machines reach it."""
    return create_app(*scorer, keys=keys, keys_needed=True)


@pytest.fixture
def on_loopback(scorer: tuple[Scorer, ScoreLog], keys: Keys) -> FastAPI:
    """The service where only this machine reaches it."""
    return create_app(*scorer, keys=keys)


def _as_described(path: str) -> str:
    """A route's path as OpenAPI has it: no alias, and without the converters of its parameters."""
    return re.sub(r":\w+\}", "}", ALIASES.get(path, path))


def scopes_of(app: FastAPI) -> dict[tuple[str, str], list[str]]:
    """Every operation of the application, also those that OpenAPI does not show, and its scopes."""
    described = app.openapi()["paths"]
    return {
        (method, route.path): next(
            (
                scopes
                for security in described.get(_as_described(route.path), {})
                .get(method.lower(), {})
                .get("security", [])
                for scopes in security.values()
            ),
            [],
        )
        for route in iter_route_contexts(app.routes)
        for method in (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}
        if route.path
    }


def test_every_route_with_data_declares_one_scope(guarded: FastAPI) -> None:
    result = scopes_of(guarded)
    assert {("POST", "/v1/scores"), ("GET", "/v1/models"), ("GET", "/metrics")} <= set(result)
    bare = [path for (_, path), scopes in result.items() if len(scopes) != 1]
    assert [path for path in bare if path.startswith("/v1") or path == "/metrics"] == []
    assert {scope for scopes in result.values() for scope in scopes} <= set(Scope)
    assert result["POST", "/v1/scores"] == ["scores"]
    assert result["POST", "/v1/t"] == result["POST", "/b"] == ["events"]
    assert result["GET", "/v1/models"] == result["GET", "/metrics"] == ["operations"]


def test_every_route_lets_in_the_keys_of_its_scope_and_no_others(guarded: FastAPI, keys: Keys) -> None:
    secrets = {scope: keys.create(scope.value, [scope])[1] for scope in Scope}
    _, revoked = keys.create("revoked", ["all"])
    keys.revoke("revoked")
    for (method, pattern), scopes in scopes_of(guarded).items():
        if not scopes:
            continue
        path = re.sub(r"\{[^}]*\}", "x", pattern)
        assert "a key is needed" in detail_of(ask(guarded, path, None, method), 401)
        for wrong in (NEVER_MADE, revoked, *spoilt(secrets[Scope.ALL])):
            assert "wrong or was revoked" in detail_of(ask(guarded, path, wrong, method), 401)
        for scope, secret in secrets.items():
            response = ask(guarded, path, secret, method)
            if scope in (*scopes, Scope.ALL):
                assert response.status_code not in (401, 403), (path, scope)
            else:
                text = detail_of(response, 403)
                assert f"the scope {scopes[0]}" in text
                assert f"the key {scope.value!r}" in text


def test_a_key_of_several_scopes_opens_each(guarded: FastAPI, keys: Keys) -> None:
    _, secret = keys.create("both", ["scores", "operations"])
    body = {"customer_ids": ["nobody"]}
    assert ask(guarded, "/v1/scores", secret, "POST", json=body).status_code == 200
    assert ask(guarded, "/v1/models", secret).status_code == 200


def test_without_a_key_it_says_that_it_lives_and_how_it_is_asked(guarded: FastAPI) -> None:
    for path in OPEN:
        assert ask(guarded, path).status_code == 200


def test_a_header_that_is_not_bearer_and_key_opens_nothing(guarded: FastAPI, keys: Keys) -> None:
    _, secret = keys.create("crm", ["all"])
    for header, words in {
        "Bearer": "wrong", "Bearer ": "wrong", "Bearer KEY KEY": "wrong", "Bearer \xff\xfe": "wrong",
        "Bearer Bearer KEY": "wrong", "KEY": "needed", "Basic KEY": "wrong", "Bearer, KEY": "needed",
        "": "needed",
    }.items():  # fmt: skip
        headers = {"authorization": header.replace("KEY", secret).encode("latin-1")}
        assert words in detail_of(ask(guarded, "/v1/models", headers=headers), 401), header


def test_the_scheme_is_told_in_any_case(guarded: FastAPI, keys: Keys) -> None:
    _, secret = keys.create("crm", ["all"])
    for scheme in ("bearer", "BEARER", "Bearer "):
        headers = {"authorization": f"{scheme} {secret}"}
        assert ask(guarded, "/v1/models", headers=headers).status_code == 200


def test_on_loopback_nobody_needs_a_key_and_a_wrong_one_is_refused(on_loopback: FastAPI, keys: Keys) -> None:
    _, secret = keys.create("crm", ["scores"])
    for path in ("/v1/models", "/metrics", *OPEN):
        assert ask(on_loopback, path).status_code == 200
        assert "wrong" in detail_of(ask(on_loopback, path, NEVER_MADE), 401)
    assert "the scope operations" in detail_of(ask(on_loopback, "/v1/models", secret), 403)
    assert ask(on_loopback, "/healthz", secret).status_code == 200
    detail_of(ask(on_loopback, "/nothing", NEVER_MADE), 401)


def test_a_service_that_knows_no_keys_is_open_and_refuses_every_key(scorer: tuple[Scorer, ScoreLog]) -> None:
    app = create_app(*scorer)
    assert ask(app, "/v1/models").status_code == 200
    detail_of(ask(app, "/v1/models", NEVER_MADE), 401)


@pytest.mark.parametrize(("key", "status"), [(None, 401), (NEVER_MADE, 401), ("without the scope", 403)])
def test_a_body_is_not_read_before_its_sender_is_known_and_may_send_it(
    key: str | None, status: int, guarded: FastAPI, keys: Keys
) -> None:
    if status == 403:
        _, key = keys.create("crm", [scope for scope in Scope if scope not in ("scores", "all")])
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{not json"

    kind = {"content-type": "application/json"}
    detail_of(ask(guarded, "/v1/scores", key, "POST", content=body(), headers=kind), status)
    assert read == []


def test_keys_are_created_and_revoked_while_it_runs(guarded: FastAPI, keys: Keys, empty_home: Home) -> None:
    detail_of(ask(guarded, "/v1/models", NEVER_MADE), 401)
    other = Keys(empty_home)
    _, secret = other.create("crm", ["operations"])
    assert ask(guarded, "/v1/models", secret).status_code == 200
    other.revoke("crm")
    detail_of(ask(guarded, "/v1/models", secret), 401)


@pytest.mark.parametrize("cache_seconds", [600.0, 0.0])
def test_while_the_keys_cannot_be_read_those_read_last_hold_and_then_nobody_is_let_in(
    scorer: tuple[Scorer, ScoreLog], file: Path, cache_seconds: float
) -> None:
    file_keys = Keys(Home(file.parent), recheck_seconds=0, cache_seconds=cache_seconds)
    guarded, on_loopback = (
        create_app(*scorer, keys=file_keys, keys_needed=needed) for needed in (True, False)
    )
    _, secret = file_keys.create("crm", ["all"])
    assert ask(guarded, "/v1/models", secret).status_code == 200
    file_keys.close()
    file.unlink()
    file.write_text("not a database " * 1000)
    for app in (guarded, on_loopback):
        if cache_seconds:
            assert ask(app, "/v1/models", secret).status_code == 200
            detail_of(ask(app, "/v1/models", NEVER_MADE), 401)
            continue
        text = detail_of(ask(app, "/v1/models", secret), 503)
        assert "the keys cannot be read at present" in text
        body = {"customer_ids": ["nobody"]}
        detail_of(ask(app, "/v1/scores", secret, "POST", json=body), 503)
        for path in OPEN:
            assert ask(app, path, secret).status_code == 200
    detail_of(ask(guarded, "/v1/models"), 401)
    assert ask(on_loopback, "/v1/models").status_code == 200


def test_a_route_can_ask_who_calls(guarded: FastAPI, on_loopback: FastAPI, keys: Keys) -> None:
    async def who(caller: CallerDep) -> dict[str, Any]:
        return {"name": caller.name, "scopes": sorted(caller.scopes)}

    for app in (guarded, on_loopback):
        app.get("/who")(who)
    _, secret = keys.create("crm", ["scores", "decisions"])
    for app in (guarded, on_loopback):
        assert ask(app, "/who", secret).json() == {"name": "crm", "scopes": ["decisions", "scores"]}
    assert ask(on_loopback, "/who").json() == {"name": None, "scopes": ["all"]}
    detail_of(ask(guarded, "/who"), 401)


def test_the_description_of_the_api_tells_the_scheme_the_scopes_and_the_refusals(
    guarded: FastAPI, keys: Keys
) -> None:
    described = ask(guarded, "/openapi.json", keys.create("crm", ["scores"])[1]).json()
    (scheme,) = described["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert all(scope.meaning in scheme["description"] for scope in Scope)
    for path in described["paths"].values():
        for operation in path.values():
            refusals = {status for status in ("401", "403") if status in operation["responses"]}
            assert refusals == ({"401", "403"} if "security" in operation else set())
            for status in refusals:
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"]


def test_the_readme_tells_every_scope_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / "README.md").read_text(), re.M)
    assert [row for row in rows if row[0] in set(Scope)] == [(scope.value, scope.meaning) for scope in Scope]


# Where keys are needed


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("localhost", True), ("LocalHost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.4", False), ("128.0.0.1", False),
        ("localhost.example.com", False), ("127.0.0.1.example.com", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_a_key_is_needed_unless_only_this_machine_can_ask(host: str, loopback: bool) -> None:
    assert ServingSettings(host=host).on_loopback is loopback
    assert ServingSettings(host=host).keys_needed is not loopback
    assert ServingSettings(host=host, require_keys=True).keys_needed is True


def run(home: Home, *words: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "patron", "serve", *words], cwd=ROOT, text=True,
        env=os.environ | settings | {"PATRON_HOME": str(home.path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_it_does_not_start_where_others_can_ask_and_no_key_lives(trained_copy: Home) -> None:
    Keys(trained_copy).create("gone", ["all"])
    Keys(trained_copy).revoke("gone")
    with run(trained_copy, "--host", "0.0.0.0", "--port", str(free_port())) as service:
        out, err = service.communicate(timeout=120)
    assert (service.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("patron: listening on 0.0.0.0 needs a key")
    assert "run `patron keys create NAME --scopes all`, or listen on 127.0.0.1" in line


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(status: int, ask: Callable[[], httpx.Response]) -> None:
    """Ask until that is the answer, for a minute at most."""
    for _ in range(600):
        with suppress(httpx.TransportError):
            if ask().status_code == status:
                return
        time.sleep(0.1)
    raise AssertionError(f"{status} was never answered")


@contextmanager
def process(home: Home) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A service on loopback that requires keys, once it is ready."""
    port = free_port()
    with (
        run(home, "--port", str(port), PATRON_REQUIRE_KEYS="true") as service,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        try:
            until(200, lambda: client.get("/readyz"))
            yield client, service
        finally:
            if service.poll() is None:
                service.kill()


def test_a_process_told_to_require_keys_takes_them_as_they_come_and_go(trained_copy: Home) -> None:
    with process(trained_copy) as (client, service):
        detail_of(client.get("/v1/models"), 401)
        # A body nobody reads does not disturb the connection's next request.
        detail_of(client.post("/v1/scores", content=b"x" * 5_000_000), 401)
        keys = Keys(trained_copy)
        _, secret = keys.create("crm", ["scores"])
        bearer = {"authorization": f"Bearer {secret}"}
        body = {"customer_ids": ["nobody"]}
        until(200, lambda: client.post("/v1/scores", json=body, headers=bearer))
        assert "the scope operations" in detail_of(client.get("/v1/models", headers=bearer), 403)
        keys.revoke("crm")
        until(401, lambda: client.post("/v1/scores", json=body, headers=bearer))
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=60)
    assert service.returncode in (0, -signal.SIGTERM)
    assert out == ""
    assert re.fullmatch(
        r"serving on http://127\.0\.0\.1:\d+, console at /console, docs at /docs", json.loads(err)["message"]
    )
