"""Authentication by API keys, and their scopes: ``dependencies=[needs(Scope.SCORES)]`` protects a route."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette import types
from starlette.types import ASGIApp, Message, Receive, Send

from core.errors import PatronError
from serving.access.key import Key
from serving.access.keys import KeyExpired, Keys
from serving.access.limits import Limits, LimitsUnavailable
from serving.access.scopes import Scope
from serving.http import problems
from serving.http.metrics import Metrics
from serving.http.own_threads import run_in_own_thread

_NO_KEY = "a key is needed: send the header `Authorization: Bearer KEY`; `patron keys create` makes one"
_WRONG_KEY = "this key is wrong or was revoked; `patron keys list` shows the valid ones"
_SEVERAL_KEYS = "the request has several write keys; send the events of each key in a request of its own"
_NO_KEYS = "the keys cannot be read at present; try again later, or see /readyz"

WRITE_KEY_HEADERS = ("x-write-key", "writekey")


@dataclass(frozen=True)
class Caller:
    """The sender of a request: the name of the key, None without one, and its scopes."""

    name: str | None
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether they may use a route of this scope."""
        return bool({scope, Scope.ALL} & self.scopes)

    def owns(self, creator: str | None) -> bool:
        """Whether they may change what the key of this name created."""
        return Scope.ALL in self.scopes or (creator is not None and creator == self.name)


ANONYMOUS = Caller(None, frozenset({Scope.ALL}))


class AuthenticationMiddleware:
    """ASGI middleware: identifies the caller. It refuses an invalid key, and one over its request limit.

    A missing key, or one without the route's scope, is refused by the route's dependency, since some routes
    need none. For routes with a body, it is refused when the body is first read, so that no body is read in
    vain.
    """

    def __init__(
        self, app: ASGIApp, keys: Keys | None, needed: bool, limits: Limits | None, metrics: Metrics
    ) -> None:
        self.app, self.keys, self.needed, self.limits, self.metrics = app, keys, needed, limits, metrics

    async def __call__(self, scope: types.Scope, receive: Receive, send: Send) -> None:
        """Refuse an invalid key, or store the caller in the request's state."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = _sent(scope)
        # In a thread if the database is read, since a slow read must not block all requests.
        known = sent is None or self.keys is None or self.keys.fresh
        caller = self._caller(sent) if known else await run_in_own_thread(partial(self._caller, sent))
        if isinstance(caller, HTTPException) and caller.status_code in (401, 429) and sent is not None:
            refusal = problems.problem(caller.status_code, caller.detail, caller.headers, scope["path"])
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {}).update(caller=caller, caller_of=self._caller)
        await self.app(scope, _guarded(scope, receive), send)

    def _caller(self, sent: str | None) -> Caller | HTTPException:
        """The caller, or the error for a route that needs a key."""
        if sent is None:
            return _unauthorized(_NO_KEY) if self.needed else ANONYMOUS
        try:
            key = self.keys.find(sent) if self.keys else None
        except KeyExpired as over:
            return _unauthorized(str(over))
        except PatronError:
            return HTTPException(503, _NO_KEYS)  # without the database's address, which /readyz shows
        if key is None:
            return _unauthorized(_WRONG_KEY)
        return self._limit_error(key) or Caller(key.name, frozenset(key.scopes))

    def _limit_error(self, key: Key) -> HTTPException | None:
        """The error for a key over its limit; None below it, or while the limits are unavailable."""
        if self.limits is None:
            return None
        try:
            wait_seconds = self.limits.wait_seconds(key)
        except LimitsUnavailable:
            self.metrics.unlimited.inc()
            return None
        if not wait_seconds:
            return None
        self.metrics.limited.labels(key.name).inc()
        why = f"the key {key.name!r} may send {self.limits.of(key):,} requests a minute; ask again in"
        return HTTPException(429, f"{why} {wait_seconds} s", {"Retry-After": str(wait_seconds)})


def _unauthorized(why: str) -> HTTPException:
    return HTTPException(401, why, {"WWW-Authenticate": "Bearer"})


def _sent(scope: types.Scope) -> str | None:
    """The key of ``Authorization: Bearer KEY``, or the user of Basic; None without such a header."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = str(value, "latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return key.strip()
            if scheme.lower() == "basic":
                return _user(key.strip())
    return None


def _user(credentials: str) -> str:
    """The user of Basic credentials; if they are malformed, an empty text, which is an invalid key."""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:
        return ""


def _guarded(scope: types.Scope, receive: Receive) -> Receive:
    """A channel that checks the scope of the route before the body is read."""
    admitted = False

    async def channel() -> Message:
        nonlocal admitted
        if not admitted:
            for needed in getattr(scope.get("route"), "dependencies", ()):
                if isinstance(needed.dependency, _BearerKey):
                    needed.dependency.admit(scope["state"]["caller"])
            admitted = True
        return await receive()

    return channel


class _BearerKey(SecurityBase):
    """The dependency that returns a caller with the scope; also the security scheme of OpenAPI."""

    scheme_name = "key"

    def __init__(self, scope: Scope | None = None) -> None:
        scopes = "; ".join(f"`{scope}`: {scope.meaning}" for scope in Scope)
        self.model = HTTPBearer(description=f"A key of `patron keys create`, with its scopes. {scopes}.")
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        return self.admit(request.state.caller)

    def admit(self, caller: Caller | HTTPException) -> Caller:
        """The caller, if they have the scope."""
        if isinstance(caller, HTTPException):
            raise caller
        if self.scope and not caller.may(self.scope):
            raise HTTPException(
                403, f"this needs the scope {self.scope}, which the key {caller.name!r} lacks"
            )
        return caller


class _KeyOrWriteKey(_BearerKey):
    """The same if the key may also be a write key: in a header, in the query, or in the body.

    The route reads the body and passes its write keys in.
    """

    async def __call__(self, request: Request) -> Admit:  # type: ignore[override]
        caller: Caller | HTTPException = request.state.caller
        if isinstance(caller, Caller) and caller is not ANONYMOUS:
            self.admit(caller)
        elif isinstance(caller, HTTPException) and caller.status_code != 401:
            raise caller

        def admit(body_keys: Collection[str]) -> Caller:
            if isinstance(caller, Caller) and caller is not ANONYMOUS:
                return caller
            keys = [key for key in map(request.headers.get, WRITE_KEY_HEADERS) if key is not None]
            keys += request.query_params.getlist("writeKey") + sorted(body_keys)
            if len(set(keys)) > 1:
                raise _unauthorized(_SEVERAL_KEYS)
            by_key: Caller | HTTPException = request.state.caller_of(keys[0]) if keys else caller
            if caller is ANONYMOUS and isinstance(by_key, HTTPException) and by_key.status_code == 401:
                return ANONYMOUS  # if no key is needed, a wrong key is treated like none
            return self.admit(by_key)

        return admit


# The caller, for a route that uses it.
CallerDep = Annotated[Caller, Depends(_BearerKey())]


def needs(scope: Scope) -> Any:
    """A dependency of a route or router: it needs a key of this scope or of ``all``."""
    return Security(_BearerKey(scope), scopes=[scope])


Admit = Callable[[Collection[str]], Caller]
"""Called with the write keys of the body, if any; returns the caller, or raises."""


def needs_key_or_write_key(scope: Scope) -> Callable[[Request], Awaitable[Admit]]:
    """The same if the key may be a write key, as a function of the request: for ``Security``, or to call.

    The route calls the :data:`Admit` that it returns.
    """
    return _KeyOrWriteKey(scope)


def install(app: FastAPI, keys: Keys | None, needed: bool, limits: Limits | None, metrics: Metrics) -> None:
    """Authenticate the requests of an application.

    Args:
        keys: None if there are none, so that every key is invalid.
        needed: whether a request without a key is refused.
        limits: the request limits of keys; None for none.
    """
    app.add_middleware(AuthenticationMiddleware, keys=keys, needed=needed, limits=limits, metrics=metrics)


def check(keys: Keys, host: str, *, on_loopback: bool) -> None:
    """Refuse to listen on an address that other machines can reach while there is no valid key.

    Raises:
        PatronError: there is none; the message says how to create one.
    """
    if not on_loopback and not keys.living():
        raise PatronError(
            f"listening on {host} needs a key, since other machines can reach it, and there is no valid"
            " one; run `patron keys create NAME --scopes all`, or listen on 127.0.0.1"
        )
