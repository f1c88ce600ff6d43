"""The routes by which users sign in and out."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from starlette.requests import Request
from starlette.responses import Response

from console.access.openid import OpenIdClient, OpenIdRefusal, SignInFlow
from console.access.visitor import COOKIE, TOKEN_FIELD, visitor_of
from console.page import PREFIX
from console.rendering import render, words_of
from core.errors import PatronError
from core.home import Home
from records.accounts.accounts import Account, Accounts, NameTaken, TooManySignIns
from records.accounts.attempts import SignInAttempts, network_of
from records.accounts.sessions import LIFETIME_US, Sessions
from records.audit.log import AuditLog
from serving.http.services import services_of
from serving.scores.scorer import Scorer

PATH = f"{PREFIX}/sign-in"
OPENID = "sign-in/openid"
OPENID_COOKIE, OPENID_S = "patron_openid", 600
_log = logging.getLogger(__name__)


def add_to(routes: APIRouter) -> None:
    """Add the routes. They are no coroutines: they wait for the database and for Argon2."""
    routes.add_api_route("/sign-in", form, methods=["GET"])
    routes.add_api_route("/sign-in", sign_in, methods=["POST"])
    routes.add_api_route(f"/{OPENID}", begin_openid, methods=["GET"])
    routes.add_api_route(f"/{OPENID}/callback", end_openid, methods=["GET"])
    routes.add_api_route("/sign-out", sign_out, methods=["POST"])


def safe_address(address: str) -> str:
    """The address if it is one of the console, else that of the first page."""
    inside = address == PREFIX or address.startswith((f"{PREFIX}/", f"{PREFIX}?"))
    return address if inside and "\\" not in address and address.isprintable() else PREFIX


def form(request: Request, to: str = PREFIX) -> Response:
    """The form to sign in with."""
    return _form(request, safe_address(to), None)


def sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    to: Annotated[str, Form()] = PREFIX,
) -> Response:
    """Open a session for the right name and password, and show the page that was wanted."""
    home, words = _home(request), words_of(request, _home(request))
    if not same_origin(request):
        return _form(request, safe_address(to), words("sign_in.other_origin"), 403)
    if not services_of(request.app)[OpenIdClient].settings.local_sign_in:
        return _form(request, safe_address(to), words("openid.only"), 403)
    if refusal := _refusal(request, to):
        return refusal
    attempts, address = services_of(request.app)[SignInAttempts], address_of(request)
    try:
        account = Accounts(home).sign_in(name, password)
    except TooManySignIns:
        attempts.succeeded(address)
        return _form(request, safe_address(to), words("sign_in.busy"), 503)
    except PatronError as error:
        return _form(request, safe_address(to), str(error), 429)
    if account is None:
        AuditLog(home).append("nobody", "failed to sign in", address)
        return _form(request, safe_address(to), words("sign_in.wrong"), 401)
    attempts.succeeded(address)
    return _signed_in(request, account, to)


def begin_openid(request: Request, to: str = PREFIX) -> Response:
    """Lead the browser to the issuer of OpenID Connect."""
    if too_many := _refusal(request, to):
        return too_many
    flow = SignInFlow.begin(safe_address(to))
    try:
        address = services_of(request.app)[OpenIdClient].address(flow, _callback(request))
    except OpenIdRefusal as refusal:
        return _openid_problem(request, refusal)
    response = RedirectResponse(address, 303)
    response.set_cookie(
        OPENID_COOKIE, flow.text(), OPENID_S, path=f"{PREFIX}/{OPENID}",
        secure=request.url.scheme == "https", httponly=True, samesite="lax",
    )  # fmt: skip
    return response


def end_openid(request: Request) -> Response:
    """Open a session for whom the issuer signed in."""
    home, flow = _home(request), SignInFlow.read(request.cookies.get(OPENID_COOKIE, ""))
    if too_many := _refusal(request, PREFIX):
        return too_many
    try:
        person = services_of(request.app)[OpenIdClient].person(flow, request.query_params, _callback(request))
        account = Accounts(home).sign_in_subject(person.issuer, person.subject, person.name, person.role)
        if account is None:
            raise OpenIdRefusal("openid.closed", 403)
    except NameTaken:
        return _openid_problem(request, OpenIdRefusal("openid.name_taken", 409))
    except OpenIdRefusal as refusal:
        return _openid_problem(request, refusal)
    for _ in ("begin_openid", "end_openid"):  # each counted an attempt
        services_of(request.app)[SignInAttempts].succeeded(address_of(request))
    response = _signed_in(request, account, flow.to if flow else PREFIX)
    response.delete_cookie(OPENID_COOKIE, path=f"{PREFIX}/{OPENID}")
    return response


def _callback(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}{PREFIX}/{OPENID}/callback"


def _openid_problem(request: Request, refusal: OpenIdRefusal) -> Response:
    home = _home(request)
    if refusal.cause:
        _log.warning("sign-in by OpenID Connect: %s", refusal.cause)
    if refusal.status != 503:
        AuditLog(home).append("nobody", "failed to sign in", address_of(request))
    return _form(request, PREFIX, words_of(request, home)(str(refusal)), refusal.status)


def _signed_in(request: Request, account: Account, to: str) -> Response:
    """The wanted page, with the cookie of a new session."""
    home = _home(request)
    AuditLog(home).append(account.name, "signed in")
    response = RedirectResponse(safe_address(to), 303)
    response.set_cookie(
        COOKIE, Sessions(home).open(account.number), LIFETIME_US // 1_000_000, path=PREFIX,
        secure=request.url.scheme == "https", httponly=True, samesite="lax",
    )  # fmt: skip
    return response


def sign_out(
    request: Request,
    form_token: Annotated[str, Form(alias=TOKEN_FIELD)] = "",
    everywhere: Annotated[str, Form()] = "",
) -> Response:
    """Close the session, or all sessions of the account."""
    home = _home(request)
    visitor = visitor_of(request, home)
    response = RedirectResponse(PATH, 303)
    if not isinstance(visitor, Exception) and visitor.sent(form_token):
        Sessions(home).close(request.cookies[COOKIE], everywhere=bool(everywhere))
        AuditLog(home).append(visitor.name, "signed out everywhere" if everywhere else "signed out")
        response.delete_cookie(COOKIE, path=PREFIX)
    return response


def address_of(request: Request) -> str:
    """The address that a request came from, as far as the trusted proxies say."""
    return network_of(request.client.host) if request.client else ""


def _refusal(request: Request, to: str) -> Response | None:
    """The refusal of an address with too many failures; the first one is in the audit log."""
    home, attempts, address = _home(request), services_of(request.app)[SignInAttempts], address_of(request)
    wait_s = attempts.begin(address)
    if not wait_s:
        return None
    if attempts.is_first_refusal(address):
        AuditLog(home).append("nobody", "refused further attempts", address)
    text = words_of(request, home)("sign_in.refused", n=math.ceil(wait_s / 60))
    return _form(request, safe_address(to), text, 429)


def same_origin(request: Request) -> bool:
    """Whether a form was sent from a page of this service, as far as the browser says."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if origin is not None and origin != "null":
        return urlsplit(origin).netloc == request.headers.get("host")
    return origin is None and site in ("same-origin", "none")


def _home(request: Request) -> Home:
    return services_of(request.app)[Scorer].home


def _form(request: Request, to: str, problem: str | None, status: int = 200) -> Response:
    home = _home(request)
    values: dict[str, Any] = {"page": None, "menu": [], "visitor": None, "to": to, "problem": problem}
    settings = services_of(request.app)[OpenIdClient].settings
    values["openid"] = bool(settings.oidc_issuer)
    values["local"] = settings.local_sign_in and Accounts(home).there_are_any()
    return render(request, "sign_in.html", words_of(request, home), values, status)
