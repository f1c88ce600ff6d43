"""The application with the console: the API's, and the pages in front of it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from console import routes
from console.page import PREFIX
from core.home import Home
from serving import app as serving_app
from serving.settings import ServingSettings

STATIC = Path(__file__).parent / "static"


def open_app(home: Home, settings: ServingSettings) -> FastAPI:
    """The application over a home, with the console; its shutdown closes what this opens."""
    app = serving_app.open_app(home, settings)
    install(app)
    return app


def install(app: FastAPI) -> None:
    """Add the console to an application."""
    app.add_api_route("/", routes.to_console, methods=["GET"], include_in_schema=False)
    app.mount(f"{PREFIX}/static", StaticFiles(directory=STATIC), name="console-files")
    app.include_router(routes.router())
