"""Cross-origin requests: which web pages may send events from a browser, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.client_paths import CLIENT_PATHS

MAX_AGE_SECONDS = 7200  # for which a browser may cache a preflight; browsers allow no more
EVERY_ORIGIN = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]*,]+)(:\d{1,5})?")


def origins_of(text: str) -> tuple[str, ...]:
    """The origins in a text, separated by commas, as browsers send them; ``*`` stands for every origin.

    Raises:
        ValueError: one is not an origin; the text says which.
    """
    origins = tuple(part.lower() for part in (part.strip() for part in text.split(",")) if part)
    for origin in origins:
        if origin != EVERY_ORIGIN and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not an origin; write `https://shop.example`, without a path or a slash at the"
                " end, several separated by commas; `*` allows every origin"
            )
    return origins


class EventsCorsMiddleware:
    """ASGI middleware: pages of these origins may send events. Other routes do not allow other origins.

    Credentials are never allowed: the page sends the key, and the browser adds no cookies or passwords.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._cors = CORSMiddleware(
            app, allow_origins=origins, allow_methods=["POST"], allow_headers=["*"],
            allow_private_network=True,  # for a service of a company's own network
            expose_headers=["Retry-After", "X-Request-ID"], max_age=MAX_AGE_SECONDS,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, with the headers of CORS on the routes of events."""
        events = scope["type"] == "http" and scope["path"] in CLIENT_PATHS
        await (self._cors if events else self.app)(scope, receive, send)


def from_other_origin(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of another origin.

    Args:
        origin: the header ``Origin``; None without it, as from programs other than browsers.
        host: the header ``Host``.
    """
    return origin is not None and origin.partition("://")[2].lower() != host.lower()
