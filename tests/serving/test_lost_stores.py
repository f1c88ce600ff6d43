"""Every route while a store is stopped, hangs, is slow or refuses logins: the documented response, within its
budget, and by itself the usual one once the store is back.

The table of docs/operating.md says which response each route has, and this test reads it. The routes are
those of the application: a new one is requested by its documented example, and must be in the table.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
import uvicorn
from fastapi import FastAPI

from benchmarks.harness import api_examples, servers
from benchmarks.harness.api_examples import Request
from benchmarks.harness.faulty_proxy import Fault, FaultyProxy
from benchmarks.harness.postgres import PostgresServer
from core.errors import StoreUnavailable
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from decisions.catalogue import saved_audiences
from decisions.catalogue.file import load
from decisions.results import newest_funnel, report
from decisions.results.funnel import FunnelCounter
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline.snapshot_set import SnapshotSet
from models.registry.connection import SERVICE_SECONDS
from models.registry.registry import Registry, TrainingRun
from models.registry.settings import ModelSettings
from serving.app import open_app
from serving.http.client_paths import ALIASES
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[2]
ROLE, PASSWORD = "lost", "secret"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nConnection: close\r\n\r\nforbidden"
POSTGRESQL, REDIS, MLFLOW = STORES = ("PostgreSQL", "Redis", "MLflow")
BUDGET_MS = 500  # of a store in a score request
# Generous, since other tests share the machine.
OTHERS_S, BACK_S = 15.0, 30.0
MAX_S = {"score_customers": 5.0}
"""Seconds, by operation."""
USUAL, DEGRADED, UNAVAILABLE = "as usual", "degraded", "503"


class Servers:
    """Real servers behind proxies, and the home that uses them."""

    def __init__(
        self, path: Path, postgres: PostgresServer, database: str, redis_address: str, mlflow: int
    ) -> None:
        self._path, self._postgres, self._database, self._redis = path, postgres, database, redis_address
        self._proxies = {
            POSTGRESQL: FaultyProxy(urlsplit(postgres.address("")).port or 0),
            REDIS: FaultyProxy(urlsplit(redis_address).port or 0, delay_s=BUDGET_MS / 1000),
            MLFLOW: FaultyProxy(mlflow, refusal=FORBIDDEN),
        }

    def close(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()

    @property
    def home(self) -> Home:
        return Home(self._path, f"postgresql://{self._place(POSTGRESQL)}/{self._database}")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATRON_ONLINE_STORE": f"redis://{self._place(REDIS)}/7",
            "PATRON_MLFLOW_URI": f"http://{servers.HOST}:{self._proxies[MLFLOW].port}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(SERVICE_SECONDS),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        }

    def _place(self, store: str) -> str:
        return f"{ROLE}:{PASSWORD}@{servers.HOST}:{self._proxies[store].port}"

    @contextmanager
    def lost(self, store: str, fault: Fault) -> Iterator[None]:
        """The fault, for the duration of the block."""
        self._proxies[store].set(fault)
        if fault == Fault.REFUSING:
            self._allow_logins(store, False)
        try:
            yield
        finally:
            self._proxies[store].set(None)
            if fault == Fault.REFUSING:
                self._allow_logins(store, True)

    def _allow_logins(self, store: str, allowed: bool) -> None:
        """As an administrator does; those who are logged in are logged out."""
        if store == POSTGRESQL:
            self._postgres.execute(f"ALTER ROLE {ROLE} {'LOGIN' if allowed else 'NOLOGIN'}")
            self._postgres.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
            )
        elif store == REDIS:
            with redis.Redis.from_url(self._redis) as admin:
                admin.execute_command("ACL", "SETUSER", ROLE, "on" if allowed else "off")
                admin.execute_command("CLIENT", "KILL", "USER", ROLE)


@pytest.fixture(scope="module")
def stores(
    open_shop: Home, built: SnapshotSet, postgres: PostgresServer, redis_address: str, mlflow_tables: Any,
    tmp_path_factory: Any,
) -> Iterator[Servers]:  # fmt: skip
    """A trained shop whose ids, features and models are on servers."""
    folder = tmp_path_factory.mktemp("mlflow")
    with ExitStack() as stack:
        database = urlsplit(stack.enter_context(postgres.database())).path[1:]
        postgres.execute(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        stack.callback(postgres.execute, f"DROP OWNED BY {ROLE}")
        with redis.Redis.from_url(redis_address) as admin:
            admin.execute_command("ACL", "SETUSER", ROLE, "on", f">{PASSWORD}", "~*", "&*", "+@all")
        mlflow_tables(folder / "mlflow.db")
        started = stack.enter_context(servers.running({"mlflow": servers.mlflow(folder)}, {}, folder))
        result = Servers(open_shop.path, postgres, database, redis_address, started["mlflow"].port)
        stack.callback(result.close)
        report.update(open_shop)
        at = open_shop.shop().now().isoformat()
        saved_audiences.put(open_shop, "active", {"rule": "recency_days <= 365"}, None)
        newest_funnel.store(open_shop, FunnelCounter(), load(open_shop), as_of=at, run_id=None)
        _move(open_shop, built, result)
        yield result


def _move(shop: Home, built: SnapshotSet, stores: Servers) -> None:
    """Move the shop's ids, features and models to the servers."""
    Database(stores.home).attach()
    Identity(stores.home).assign(Identity(shop).table()["customer_id"].to_pylist())  # by key, so keys stay
    store = Store(shop, FeatureSettings(online_store=stores.environment["PATRON_ONLINE_STORE"]))
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    own, server = (
        Registry(shop),
        Registry(shop, ModelSettings(mlflow_uri=stores.environment["PATRON_MLFLOW_URI"])),
    )
    for name, version in own.champions(
        ["churn", "propensity", "clv", "products", "category_propensity"]
    ).items():
        published = server.publish(name, own.files(name, version)[0], TrainingRun({}, {}, {}), ())
        server.promote(name, published.version, "a test", "to serve it")


class Service:
    """The application over the servers, listening in a thread of this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        port = servers.free_port()
        config = uvicorn.Config(app, host=servers.HOST, port=port, log_config=None, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self._client = httpx.Client(base_url=f"http://{servers.HOST}:{port}", timeout=60)

    def send(self, request: Request) -> httpx.Response:
        return self._client.request(request.method, request.path, **request.options)

    def close(self) -> None:
        self._client.close()
        self._server.should_exit = True
        self._thread.join()


def open_when_available(home: Home) -> FastAPI:
    """The application; the database may be that of a test that lost it a moment before."""
    deadline = time.monotonic() + BACK_S
    while True:
        try:
            return open_app(home, ServingSettings(store_budget_ms=BUDGET_MS))
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def serving(stores: Servers) -> Iterator[Service]:
    """A service that has answered nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stores.environment.items():
            patch.setenv(name, value)
        service = Service(open_when_available(stores.home))
        try:
            yield service
        finally:
            service.close()


CONFLICTING = ("start_", "make_", "release_plan", "stop_", "replace_", "put_", "delete_")


@dataclass(frozen=True)
class Route:
    """A request of a route, and by store the responses that it may have."""

    name: str
    request: Request
    allowed: dict[str, set[str]]


@pytest.fixture(scope="module")
def routes(stores: Servers) -> list[Route]:
    """Every route of the application, by its documented example."""
    with serving(stores) as service:
        requests = examples(service)
        pages = [path for route in service.app.routes if (path := getattr(route, "path", "")).count("/") == 1]
    documented, operations = documented_fallbacks(), api_examples.operations()
    assert {f"{operation.method} {operation.path}" for operation in operations.values()} == set(documented)
    known = {name: f"{operation.method} {operation.path}" for name, operation in operations.items()}
    result = [Route(name, requests[name], documented[known[name]]) for name in operations]
    for alias, path in ALIASES.items():
        (name,) = (name for name, operation in operations.items() if operation.path == path)
        result.append(Route(alias, requests[name]._replace(path=alias), documented[known[name]]))
    assert "/docs" in pages
    usual = {store: {USUAL} for store in STORES}
    return [
        *result,
        *(Route(page, Request("GET", page, {}), usual) for page in pages if "static" not in page),
    ]


def examples(service: Service) -> dict[str, Request]:
    """The example of each operation; those that are linked to the response of another are sent first."""
    answers: dict[str, Any] = {}

    def linked(name: str) -> dict[str, str]:
        before, parameters = api_examples.links().get(name, ("", {}))
        if before and before not in answers:
            response = service.send(api_examples.example_request(before, linked(before)))
            assert response.is_success, response.text
            answers[before] = response.json()
        return api_examples.linked_values(parameters, answers.get(before))

    requests = {name: api_examples.example_request(name, linked(name)) for name in api_examples.operations()}
    for name in ("read_score_job_file", "read_recommendation_run", "read_plan", "explain_prediction"):
        deadline = time.monotonic() + BACK_S
        while not service.send(requests[name]).is_success or "running" in service.send(requests[name]).text:
            assert time.monotonic() < deadline, name
            time.sleep(0.1)
    return requests


def documented_fallbacks() -> dict[str, dict[str, set[str]]]:
    """By ``METHOD /path`` and store the responses that docs/operating.md allows while the store is lost."""
    section = (ROOT / "docs" / "operating.md").read_text().partition("## Fallbacks")[2].partition("\n## ")[0]
    fallbacks: dict[str, dict[str, set[str]]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for route in re.findall(r"`((?:GET|POST|PUT|DELETE) [^`]+)`", cells[0]) if len(cells) == 4 else ():
            assert route not in fallbacks, f"{route} is in two rows"
            words = [{word for word in (USUAL, DEGRADED, UNAVAILABLE) if word in cell} for cell in cells[1:]]
            assert all(words), line
            fallbacks[route] = dict(zip(STORES, words, strict=True))
    return fallbacks


def outcome(route: Route, response: httpx.Response) -> str:
    """Which kind of response it is; text that is none of the allowed ones if it is wrong."""
    if response.status_code == 503:
        if route.name == "is_ready":
            return UNAVAILABLE if response.json()["reasons"] else "503 without reasons"
        assert response.headers["content-type"] == "application/problem+json"
        assert "secret" not in response.text
        return (
            UNAVAILABLE if "retry-after" in response.headers else f"503 without Retry-After: {response.text}"
        )
    if response.is_success:
        degraded = route.name == "score_customers" and response.json()["customers"][0]["degraded"]
        return DEGRADED if degraded else USUAL
    # Another run goes on, the job is done already, the catalogue was written by hand, or the audience exists.
    conflict = response.status_code in (409, 412) and route.name.startswith(CONFLICTING)
    return USUAL if conflict else f"{response.status_code}: {response.text}"


def send_all(service: Service, routes: list[Route]) -> dict[str, tuple[str, float]]:
    """The outcome and the seconds of each route's request, of which a dozen are sent at the same time."""

    def send(route: Route) -> tuple[str, float]:
        started = time.monotonic()
        response = service.send(route.request)
        return outcome(route, response), time.monotonic() - started

    with ThreadPoolExecutor(12) as threads:
        return dict(zip((r.name for r in routes), threads.map(send, routes), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("store", STORES)
def test_each_route_has_its_documented_response_while_a_store_is_lost(
    store: str, fault: Fault, stores: Servers, routes: list[Route]
) -> None:
    with serving(stores) as service:
        for moment in ("before the first request", "in the middle"):
            if moment == "in the middle":
                wait_until_usual(service, routes)
            with stores.lost(store, fault):
                outcomes = send_all(service, routes)
            for route in routes:
                result, seconds = outcomes[route.name]
                # A slow store may still be fast enough.
                allowed = route.allowed[store] | ({USUAL} if fault == Fault.SLOW else set())
                assert result in allowed, f"{route.name} {moment}: {result}"
                assert seconds < MAX_S.get(route.name, OTHERS_S), route.name


def wait_until_usual(service: Service, routes: list[Route]) -> None:
    """Send all requests until each has its usual response."""
    deadline = time.monotonic() + BACK_S
    while unusual := {
        name: result for name, (result, _) in send_all(service, routes).items() if result != USUAL
    }:
        assert time.monotonic() < deadline, unusual
        time.sleep(0.2)
