"""The application with the console: the API's, and the pages in front of it."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from console import routes, warm_up
from console.access.openid import OpenIdClient
from console.page import PREFIX
from console.settings import ConsoleSettings
from core.home import Home
from records.accounts.attempts import SignInAttempts
from serving import app as serving_app
from serving.http.problems import problem
from serving.http.services import services_of
from serving.settings import ServingSettings

OPEN = ("/", "/healthz", "/readyz")
STATIC = Path(__file__).parent / "static"


def open_app(home: Home, settings: ServingSettings) -> FastAPI:
    """The application over a home, with the console; its shutdown closes what this opens."""
    console_settings = ConsoleSettings()
    console_settings.check()
    app = serving_app.open_app(home, settings)
    install(app, home, console_settings)
    return app


def open_alone(home: Home, settings: ServingSettings) -> FastAPI:
    """The same without the API: other paths than the console's and those of probes do not exist."""
    app = open_app(home, settings)
    app.add_middleware(OnlyConsoleMiddleware)
    return app


class OnlyConsoleMiddleware:
    """ASGI middleware: answers all other paths with 404."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, or refuse the path."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN or path == PREFIX or path.startswith(f"{PREFIX}/"):
            await self.app(scope, receive, send)
            return
        await problem(404, f"this service has only the console, at {PREFIX}")(scope, receive, send)


def install(app: FastAPI, home: Home, settings: ConsoleSettings) -> None:
    """Add the console to an application."""
    services_of(app).add(SignInAttempts(home))
    services_of(app).add(OpenIdClient(settings))
    app.add_api_route("/", routes.to_console, methods=["GET"], include_in_schema=False)
    app.mount(f"{PREFIX}/static", StaticFiles(directory=STATIC), name="console-files")
    app.include_router(routes.router())
    if settings.warm_up:
        app.include_router(APIRouter(lifespan=warm_up.lifespan))
