"""The processes that serve a home with its console.

Importing the application takes a second. A process that starts workers needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import garbage

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from core.home import Home
    from serving.settings import ServingSettings


def serve(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, see :func:`serving.server.serve`."""
    from serving import server

    server.serve(home, settings, ready, _open_app, f"{__name__}:{worker.__name__}")


def serve_alone(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve the console without the API."""
    from serving import server

    server.serve(home, settings, ready, _open_alone, f"{__name__}:{worker_alone.__name__}")


def worker() -> FastAPI:
    """The application of one of several processes, with settings from the environment."""
    garbage.search_rarely()
    from serving import server

    return server.worker(_open_app)


def worker_alone() -> FastAPI:
    """The same without the API."""
    garbage.search_rarely()
    from serving import server

    return server.worker(_open_alone)


def _open_app(home: Home, settings: ServingSettings) -> FastAPI:
    from console.app import open_app

    return open_app(home, settings)


def _open_alone(home: Home, settings: ServingSettings) -> FastAPI:
    from console.app import open_alone

    return open_alone(home, settings)
