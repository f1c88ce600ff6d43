"""The routes of the console: every page, the exports of its tables, the changes of its forms, preferences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, HTTPException
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console import exports
from console.access import sign_in
from console.access.visitor import TOKEN_FIELD, Visitor, visitor_of
from console.changes import ConsoleChange, entered, text
from console.navigation import CHANGES, FILES, MENU, PAGES
from console.notices import notices
from console.page import PREFIX, ConsoleFile, ConsolePage, Visit
from console.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, render, words_of
from console.words.messages import LANGUAGES, Translator
from core.errors import PatronError, StoreUnavailable
from records.audit.log import AuditLog
from serving.access.scopes import Scope
from serving.http.services import services_of
from serving.scores.scorer import Scorer

YEAR_S = 365 * 86_400


def router() -> APIRouter:
    """The routes of all pages. They are no coroutines: they read files, so each runs in a thread."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)
    sign_in.add_to(routes)
    routes.add_api_route("/preferences", _set_preferences, methods=["POST"])
    for change in CHANGES:
        routes.add_api_route(change.path, _changed(change), methods=["POST"])
    for file in FILES:
        routes.add_api_route(file.path, _sent(file), methods=["GET"])
    for page in PAGES:
        routes.add_api_route(f"/export{page.path}/{{table}}.{{kind}}", _exported(page), methods=["GET"])
    for page in PAGES:
        routes.add_api_route(page.path, _shown(page), methods=["GET"])
    routes.add_api_route("/{rest:path}", _no_page, methods=["GET"])
    return routes


def to_console() -> Response:
    """The answer to ``/``: the console's first page."""
    return RedirectResponse(PREFIX, 303)


def _shown(page: ConsolePage) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        def answer(visitor: Visitor, visit: Visit) -> Response:
            content = page.load(visit)
            if page.audited and content.about is not None:
                AuditLog(visit.home).append(visitor.name, page.audited, content.about)
            shown = {"tables": content.tables} | dict(content.values)
            shown["notices"] = notices(page, visit)
            return render(request, f"{page.name}.html", visit.words, _common(page, visitor) | shown)

        return _answered(request, page, page.scope, answer, missing=200)

    return show


def _no_page(request: Request) -> Response:
    """The answer to an address that no page has."""

    def refuse(_visitor: Visitor, visit: Visit) -> Response:
        raise HTTPException(404, visit.words("console.no_page"))

    return _answered(request, None, Scope.SEGMENTS, refuse)


def _exported(page: ConsolePage) -> Callable[[Request], Response]:
    def export(request: Request) -> Response:
        def answer(visitor: Visitor, visit: Visit) -> Response:
            name, kind = request.path_params["table"], request.path_params["kind"]
            content = page.load(visit)
            if name not in content.tables or kind not in exports.KINDS:
                raise HTTPException(404, visit.words("console.no_table"))
            about = f"{page.name}/{name}.{kind} {content.about or ''}".strip()
            AuditLog(visit.home).append(visitor.name, "exported a table", about)
            return exports.export(content.tables[name], kind, visit.words, f"{page.name}-{name}")

        return _answered(request, page, page.scope, answer)

    return export


def _sent(file: ConsoleFile) -> Callable[[Request], Response]:
    def send(request: Request) -> Response:
        def answer(visitor: Visitor, visit: Visit) -> Response:
            if file.exported and visit.is_masked:
                raise HTTPException(403, visit.words("personal.no_file"))
            response = file.load(visit)
            if file.exported:
                AuditLog(visit.home).append(visitor.name, file.exported, " ".join(visit.path.values()))
            return response

        return _answered(request, None, file.scope, answer)

    return send


async def _form(request: Request) -> FormData:
    return await request.form()


def _changed(change: ConsoleChange) -> Callable[[Request, FormData], Response]:
    def make_change(request: Request, form: Annotated[FormData, Depends(_form)]) -> Response:
        def answer(visitor: Visitor, visit: Visit) -> Response:
            if visitor.session is None:
                raise HTTPException(403, visit.words("console.read_only"))
            if not visitor.sent(text(form, TOKEN_FIELD)) or not sign_in.same_origin(request):
                raise HTTPException(403, visit.words("console.old_form"))
            address = change.handle(visit, form)
            AuditLog(visit.home).append(
                visitor.name, change.what, " ".join(visit.path.values()) or text(form, "name")
            )
            return RedirectResponse(sign_in.safe_address(address), 303)

        return _answered(request, None, change.scope, answer, entered=entered(form))

    return make_change


def _answered(
    request: Request,
    page: ConsolePage | None,
    scope: Scope,
    answer: Callable[[Visitor, Visit], Response],
    missing: int = 404,
    entered: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The answer to a visitor with the scope; others are led to the sign-in or refused, in words.

    Args:
        missing: the status if there is nothing to show yet.
        entered: what the visitor entered in a form, shown again if their session has ended.
    """
    services = services_of(request.app)
    home = services[Scorer].home
    words = words_of(request, home)
    visitor: Visitor | None = None
    visit: Visit | None = None
    try:
        sender = visitor_of(request, home)
        if isinstance(sender, HTTPException):
            if request.method != "GET":
                raise HTTPException(401, words("console.old_form"))
            wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            return RedirectResponse(f"{sign_in.PATH}?to={quote(wanted, safe='')}", 303)
        visitor = sender
        if not visitor.caller.may(scope):
            raise HTTPException(403, words("console.not_permitted", scope=str(scope)))
        visit = Visit(
            home, services, visitor.caller, visitor.is_masked, visitor.session is not None, words,
            request.path_params, request.query_params,
        )  # fmt: skip
        return answer(visitor, visit)
    except ValidationError:
        values = {"reason": words("console.bad_value"), "entered": {}}
        return _problem(request, page, visitor, words, values, 422)
    except HTTPException as error:
        values = {"reason": error.detail, "entered": {} if visitor else entered}
        return _problem(request, page, visitor, words, values, error.status_code)
    except PatronError as error:
        unavailable = isinstance(error, StoreUnavailable) or isinstance(error.__cause__, StoreUnavailable)
        status = 503 if unavailable else missing if request.method == "GET" else 409
        values = {"reason": str(error), "entered": {}}
        if page and visit and not unavailable:
            values["notices"] = notices(page, visit)
        return _problem(request, page, visitor, words, values, status)


def _problem(
    request: Request,
    page: ConsolePage | None,
    visitor: Visitor | None,
    words: Translator,
    values: Mapping[str, Any],
    status: int,
) -> Response:
    common = _common(page, visitor) | {"unavailable": status == 503}
    template = "missing.html" if request.method == "GET" else "unchanged.html"
    return render(request, template, words, common | dict(values), status)


def _common(page: ConsolePage | None, visitor: Visitor | None) -> dict[str, Any]:
    """What every template gets of a page and its visitor."""
    entries = {
        group: [page for page in pages if page.in_menu and visitor and visitor.caller.may(page.scope)]
        for group, pages in MENU.items()
    }
    return {
        "page": page,
        "visitor": visitor,
        "menu": {group: pages for group, pages in entries.items() if pages},
        "section": _section(page),
    }


def _section(page: ConsolePage | None) -> str | None:
    """The path of the menu's entry to which a page belongs, by the beginning of its path."""
    paths = [entry.path for entry in PAGES if entry.in_menu and page and page.path.startswith(entry.path)]
    return max(paths, key=len, default=None)


def _set_preferences(
    back: Annotated[str, Form()] = PREFIX,
    language: Annotated[str | None, Form()] = None,
    theme: Annotated[str | None, Form()] = None,
) -> Response:
    """Store language and theme in cookies, and show the page again."""
    response = RedirectResponse(sign_in.safe_address(back), 303)
    for cookie, value, known in ((LANGUAGE_COOKIE, language, LANGUAGES), (THEME_COOKIE, theme, THEMES)):
        if value in known:
            response.set_cookie(cookie, str(value), YEAR_S, path=PREFIX, httponly=True, samesite="strict")
    return response
