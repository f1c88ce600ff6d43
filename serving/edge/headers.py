"""Response headers that tell browsers and caches what they may do with an answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_ALL = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # paths contain customers' ids
    (b"x-frame-options", b"DENY"),
)
_POLICY = b"content-security-policy"
DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# The pages of the documentation have scripts and styles in the page; ReDoc's worker is a blob.
PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    b" img-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'self';"
    b" frame-ancestors 'none'"
)
_WITH_DATA = (*_OF_ALL, (_POLICY, DATA_POLICY))
_WITH_PAGES = (*_OF_ALL, (_POLICY, PAGE_POLICY))
_NAMES = frozenset(name for name, _ in _WITH_DATA)


class ResponseHeadersMiddleware:
    """ASGI middleware: adds these headers to every response that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and add the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = headers_of(message["headers"])
            await send(message)

        await self.app(scope, receive, send_with_headers)


def headers_of(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a response, their names in lower case, with those that it lacks."""
    added, names = _WITH_DATA, set()
    for name, value in headers:
        names.add(name)
        if name == b"content-type" and value.startswith(b"text/html"):
            added = _WITH_PAGES
    if names.isdisjoint(_NAMES):  # the usual case
        return [*headers, *added]
    return [*headers, *(pair for pair in added if pair[0] not in names)]
