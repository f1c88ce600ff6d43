"""The API's description and its pages, which need a key where the service requires keys."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.problems import problem

PATHS = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs")
"""The beginnings of their paths."""
# A browser asks for the key, as the user of Basic, which every route accepts too.
_CHALLENGE = 'Basic realm="Patron: the key as the user, no password", Bearer'


class ClosedDocumentationMiddleware:
    """ASGI middleware within authentication: refuses a caller without a key of any scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, unless the documentation is requested without a key."""
        if scope["type"] == "http" and scope["path"].startswith(PATHS):
            caller = scope["state"]["caller"]
            if isinstance(caller, HTTPException):
                headers = dict(caller.headers or {})
                if caller.status_code == 401:
                    headers["WWW-Authenticate"] = _CHALLENGE
                refusal = problem(caller.status_code, caller.detail, headers, scope["path"])
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
