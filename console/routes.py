"""The routes of the console: every page, the exports of its tables, the user's preferences, its files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console import exports
from console.changes import Change
from console.navigation import CHANGES, FILES, PAGES
from console.page import ConsoleFile, ConsolePage, Content, Visit
from console.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, render, words_of
from console.words.messages import LANGUAGES, Translator
from core.errors import PatronError, StoreUnavailable
from serving.access.authentication import Caller
from serving.http.services import services_of
from serving.scores.scorer import Scorer

PREFIX = "/console"
YEAR_S = 365 * 86_400


def router() -> APIRouter:
    """The routes of all pages. They are no coroutines: they read files, so each runs in a thread."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)
    routes.add_api_route("/preferences", _set_preferences, methods=["POST"])
    for change in CHANGES:
        routes.add_api_route(change.path, _changed(change), methods=["POST"])
    for file in FILES:
        routes.add_api_route(file.path, _sent(file), methods=["GET"])
    for page in PAGES:
        routes.add_api_route(f"/export{page.path}/{{table}}.{{kind}}", _exported(page), methods=["GET"])
    for page in PAGES:
        routes.add_api_route(page.path, _shown(page), methods=["GET"])
    return routes


def to_console() -> Response:
    """The answer to ``/``: the console's first page."""
    return RedirectResponse(PREFIX, 303)


def _shown(page: ConsolePage) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        words, visit = _visit(page, request)
        if isinstance(visit, HTTPException):
            return _refused(request, words, visit)
        values = {"page": page, "menu": _menu(visit)}
        try:
            content = page.load(visit)
        except PatronError as error:
            status = 503 if isinstance(error, StoreUnavailable) else 200
            return render(request, "missing.html", words, values | {"reason": str(error)}, status)
        except HTTPException as error:
            return render(
                request, "missing.html", words, values | {"reason": error.detail}, error.status_code
            )
        shown = values | {"tables": content.tables} | dict(content.values)
        return render(request, f"{page.name}.html", words, shown)

    return show


def _exported(page: ConsolePage) -> Callable[[Request], Response]:
    def export(request: Request) -> Response:
        words, visit = _visit(page, request)
        if isinstance(visit, HTTPException):
            raise visit
        name, kind = request.path_params["table"], request.path_params["kind"]
        content: Content = page.load(visit)
        if name not in content.tables or kind not in exports.KINDS:
            raise HTTPException(404, "there is no such table")
        return exports.export(content.tables[name], kind, words, f"{page.name}-{name}")

    return export


def _sent(file: ConsoleFile) -> Callable[[Request], Response]:
    def send(request: Request) -> Response:
        words, visit = _visit(file, request)
        if isinstance(visit, HTTPException):
            return _refused(request, words, visit)
        try:
            return file.load(visit)
        except PatronError as error:
            return _refused(request, words, HTTPException(404, str(error)))

    return send


async def _form(request: Request) -> FormData:
    return await request.form()


def _changed(change: Change) -> Callable[[Request, FormData], Response]:
    def make_change(request: Request, form: Annotated[FormData, Depends(_form)]) -> Response:
        words, visit = _visit(change, request)
        if isinstance(visit, HTTPException):
            return _refused(request, words, visit)
        try:
            return RedirectResponse(change.handle(visit, form), 303)
        except PatronError as error:
            status, reason = 409, str(error)
        except HTTPException as error:
            status, reason = error.status_code, error.detail
        values = {"page": None, "menu": _menu(visit), "reason": reason}
        return render(request, "unchanged.html", words, values, status)

    return make_change


def _visit(
    target: ConsolePage | ConsoleFile | Change, request: Request
) -> tuple[Translator, Visit | HTTPException]:
    services = services_of(request.app)
    home = services[Scorer].home
    words = words_of(request, home)
    caller: Caller | HTTPException = request.state.caller
    if isinstance(caller, HTTPException):
        return words, caller
    if not caller.may(target.scope):
        return words, HTTPException(403, words("console.not_permitted", scope=str(target.scope)))
    return words, Visit(home, services, caller, words, request.path_params, request.query_params)


def _menu(visit: Visit) -> list[ConsolePage]:
    return [page for page in PAGES if page.in_menu and visit.caller.may(page.scope)]


def _refused(request: Request, words: Translator, error: HTTPException) -> Response:
    values: dict[str, Any] = {"page": None, "menu": [], "reason": error.detail}
    if error.status_code == 401:
        values["reason"] = words("console.key_needed")
    return render(request, "missing.html", words, values, error.status_code)


def _set_preferences(
    back: Annotated[str, Form()] = PREFIX,
    language: Annotated[str | None, Form()] = None,
    theme: Annotated[str | None, Form()] = None,
) -> Response:
    """Store language and theme in cookies, and show the page again."""
    response = RedirectResponse(back if back.startswith(PREFIX) and "\\" not in back else PREFIX, 303)
    for cookie, value, known in ((LANGUAGE_COOKIE, language, LANGUAGES), (THEME_COOKIE, theme, THEMES)):
        if value in known:
            response.set_cookie(cookie, str(value), YEAR_S, path=PREFIX, httponly=True, samesite="strict")
    return response
