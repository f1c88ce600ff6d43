"""The processes that serve a home with its console."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from console.app import open_alone, open_app
from core.home import Home
from serving import server
from serving.settings import ServingSettings


def serve(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, see :func:`serving.server.serve`."""
    server.serve(home, settings, ready, open_app, f"{__name__}:{worker.__name__}")


def serve_alone(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve the console without the API."""
    server.serve(home, settings, ready, open_alone, f"{__name__}:{worker_alone.__name__}")


def worker() -> FastAPI:
    """The application of one of several processes, with settings from the environment."""
    return server.worker(open_app)


def worker_alone() -> FastAPI:
    """The same without the API."""
    return server.worker(open_alone)
