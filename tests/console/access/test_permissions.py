"""Who reaches what: roles and keys against every page, change, file and route of the API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from fastapi.routing import RouteContext, iter_route_contexts

from console import navigation
from console.access.visitor import COOKIE, TOKEN_FIELD
from console.app import open_app
from console.words.messages import catalogue
from core.home import Home
from records.accounts.accounts import Accounts
from records.accounts.roles import Role
from records.accounts.sessions import Sessions
from serving.access.audit import AuditedChange, AuditedLooks
from serving.routers import ROUTERS
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
OPEN = "no scope"  # whoever reaches the service
ROLES = {
    "viewer": "segments",
    "marketer": "segments customers scores decisions actions outcomes",
    "scientist": "segments customers scores operations",
    "operator": "segments customers operations events",
    "admin": "all",
}
PERSONAL_DATA = {
    "viewer": "no customers", "marketer": "in full", "scientist": "masked", "operator": "masked",
    "admin": "in full",
}  # fmt: skip
API = {
    "scores": "POST /v1/scores, GET /v1/explanations/{prediction_id}, POST /v1/score-jobs,"
    " GET /v1/score-jobs, GET /v1/score-jobs/{job_id}, POST /v1/score-jobs/{job_id}/stop,"
    " GET /v1/score-jobs/{job_id}/file, GET /v1/customers/{customer_id:path}/categories",
    "events": "POST /v1/batch, POST /v1/b, POST /b, POST /beacon/v1/batch, POST /v1/alias, POST /v1/a,"
    " POST /v1/group, POST /v1/g, POST /v1/screen, POST /v1/s, POST /v1/page, POST /v1/p, POST /v1/track,"
    " POST /v1/t, POST /v1/identify, POST /v1/i",
    "decisions": "POST /v1/customers/{customer_id:path}/next-best-actions, POST /v1/recommendation-runs,"
    " POST /v1/recommendation-runs/{run_id}/release, DELETE /v1/recommendation-runs/{run_id}/release,"
    " GET /v1/recommendation-runs/{run_id}, GET /v1/actions, GET /v1/actions/{name}/funnel, GET /v1/funnel,"
    " POST /v1/plans, GET /v1/plans/{plan_id}, POST /v1/plans/{plan_id}/release",
    "outcomes": "POST /v1/decisions/{decision_id}/outcome, DELETE /v1/decisions/{decision_id}/outcome/{kind}",
    "actions": "PUT /v1/actions, PUT /v1/actions/{name}, DELETE /v1/actions/{name},"
    " PUT /v1/audiences/{name}, DELETE /v1/audiences/{name}",
    "segments": "GET /v1/audiences, GET /v1/audiences/{name}, GET /v1/segments, GET /v1/kpis,"
    " GET /v1/cohorts, GET /v1/results",
    "customers": "GET /v1/audiences/{name}/customers, GET /v1/customers,"
    " GET /v1/customers/{customer_id:path}, GET /v1/customers/{customer_id:path}/timeline,"
    " GET /v1/customers/{customer_id:path}/products",
    "operations": "GET /v1/models, GET /metrics",
    OPEN: "GET /healthz, GET /readyz",
}
# What the audit log need not have: definitions and totals, and what the logs of predictions and decisions and
# the journal of events record themselves.
NOT_AUDITED = {
    "POST /v1/scores", "GET /v1/score-jobs", "GET /v1/score-jobs/{job_id}",
    "POST /v1/customers/{customer_id:path}/next-best-actions", "POST /v1/decisions/{decision_id}/outcome",
    "GET /v1/actions", "GET /v1/actions/{name}/funnel", "GET /v1/funnel", "GET /v1/audiences",
    "GET /v1/audiences/{name}", "GET /v1/segments", "GET /v1/kpis", "GET /v1/cohorts", "GET /v1/results",
    "GET /v1/models", "GET /metrics", "GET /healthz", "GET /readyz",
}  # fmt: skip
PAGES = {
    "segments": "overview segments audiences cohorts results features feature",
    "customers": "customers customer audience",
    "decisions": "actions plan stored_plan",
    "actions": "action",
    "operations": "models model_versions monitoring data",
    "all": "access",
}
CHANGES = {
    "customers": "/customers/find",
    "actions": "/audiences/save /audiences/{name}/delete /actions/preview /actions/save /actions/delete",
    "operations": "/models/{name}/promote /models/{name}/rollback /models/{name}/challenge"
    " /models/{name}/challenge/end",
    "decisions": "/plan /plans/{plan_id}/release",
    "all": "/access/accounts /access/accounts/{account}/role /access/accounts/{account}/close",
}
FILES = {
    "customers": "/audiences/{name}/customers.{kind}",
    "decisions": "/plans/{plan_id}/customers.{kind}",
    "operations": "/monitoring/{model}/evidently",
}


def by_entry(table: Mapping[str, str], separator: str | None = None) -> dict[str, str]:
    """The scope of each entry of a table."""
    return {entry.strip(): scope for scope, entries in table.items() for entry in entries.split(separator)}


def api_routes() -> Iterator[RouteContext]:
    for router in ROUTERS:
        yield from iter_route_contexts(router.routes)


def test_every_change_and_look_by_the_api_is_audited_with_words_in_all_languages() -> None:
    audits = {
        f"{min(route.methods or ())} {route.path}": dependency.call.what
        for route in api_routes()
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, AuditedChange | AuditedLooks)
    }
    not_audited = NOT_AUDITED | set(by_entry({"": API["events"]}, ","))
    assert set(audits) == set(by_entry(API, ",")) - not_audited
    words = {*audits.values(), *(change.what for change in navigation.CHANGES)}
    words |= {page.audited for page in navigation.PAGES} - {""}
    for path in (ROOT / "commands").rglob("*.py"):
        words.update(re.findall(r"audited\(\s*[\w.]+,\s*\"([^\"]+)\"", path.read_text(encoding="utf-8")))
    assert {f"audit.{what.replace(' ', '_')}" for what in words} <= set(catalogue())


def test_every_page_change_file_and_route_is_listed_with_its_scope() -> None:
    assert {role.value: role.scopes for role in Role} == {
        name: frozenset(scopes.split()) for name, scopes in ROLES.items()
    }
    assert {role.value: str(role.personal_data) for role in Role} == PERSONAL_DATA
    assert {page.name: str(page.scope) for page in navigation.PAGES} == by_entry(PAGES)
    assert {change.path: str(change.scope) for change in navigation.CHANGES} == by_entry(CHANGES)
    assert {file.path: str(file.scope) for file in navigation.FILES} == by_entry(FILES)
    declared = {
        f"{min(route.methods or ())} {route.path}": next(
            (str(scope) for d in route.dependant.dependencies for scope in d.own_oauth_scopes or ()), OPEN
        )
        for route in api_routes()
    }
    assert declared == by_entry(API, ",")


@pytest.fixture(scope="module")
def home(shop: Home, tmp_path_factory: pytest.TempPathFactory, copy_into: Callable[..., Home]) -> Home:
    return copy_into(shop, tmp_path_factory.mktemp("permissions") / "home")


@pytest.fixture(scope="module")
def ask(home: Home) -> Iterator[Callable[[Role, str, str], httpx.Response]]:
    """A function (role, method, path) that sends a request with a session and its token for forms."""
    sessions = Sessions(home)
    tokens = {
        role: sessions.open(Accounts(home).create(role.value, role, "correct horse battery").number)
        for role in Role
    }
    app = open_app(home, ServingSettings())

    async def send(role: Role, method: str, path: str) -> httpx.Response:
        session = sessions.find(tokens[role])
        assert session is not None
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers={"cookie": f"{COOKIE}={tokens[role]}"}
        ) as client:
            data = {TOKEN_FIELD: session.form_token} if method == "POST" else None
            return await client.request(method, path, data=data)

    with asyncio.Runner() as runner:
        yield lambda role, method, path: runner.run(send(role, method, path))

        async def shut_down() -> None:
            async with app.router.lifespan_context(app):
                pass

        runner.run(shut_down())


def addresses() -> dict[tuple[str, str], str]:
    """Method and path of everything in the console that needs a scope, with the scope."""
    pages = {("GET", page.path): page.scope for page in navigation.PAGES}
    exports = {("GET", f"/export{page.path}/rows.csv"): page.scope for page in navigation.PAGES}
    files = {("GET", file.path): file.scope for file in navigation.FILES}
    changes = {("POST", change.path): change.scope for change in navigation.CHANGES}
    return {
        (method, re.sub(r"\{[^}]*\}", "1", f"/console{path}")): str(scope)
        for (method, path), scope in (pages | exports | files | changes).items()
    }


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_refused_whatever_is_not_of_its_scopes(
    role: Role, ask: Callable[[Role, str, str], httpx.Response]
) -> None:
    scopes = set(ROLES[role.value].split())
    for (method, path), scope in addresses().items():
        if not scopes & {scope, "all"}:
            response = ask(role, method, path)
            assert response.status_code == 403, (method, path)
            assert f"the scope {scope}" in response.text, (method, path)


def test_what_a_role_may_reach_is_not_refused(ask: Callable[[Role, str, str], httpx.Response]) -> None:
    for (method, path), scope in addresses().items():
        role = next(role for role in Role if role.scopes & {scope, "all"})
        response = ask(role, method, path)
        assert response.status_code not in (401, 403, 500), (method, path, response.text)
        assert "sign-in" not in response.headers.get("location", ""), (method, path)


def test_a_role_that_sees_ids_masked_does_not_search_by_them(
    ask: Callable[[Role, str, str], httpx.Response],
) -> None:
    for role in (Role.SCIENTIST, Role.OPERATOR):
        response = ask(role, "POST", "/console/customers/find")
        assert response.status_code == 403
        assert "by their number" in response.text
