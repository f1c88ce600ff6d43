"""The processes that serve a home: one, or several on one socket, and a refresher."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from socket import socket
from typing import TypeAlias

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from core import garbage, logging_setup, private
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from models.estimators.trees import import_lightgbm_alone
from models.questions import MODELS
from models.registry import connection
from models.registry.registry import Registry
from models.registry.registry_state import SHARED
from serving import systemd
from serving.access import authentication
from serving.access.keys import Keys
from serving.edge.balance import shared_counts
from serving.edge.connections import allow_open_files
from serving.edge.draining import DrainedProtocol
from serving.refresher_child import running_refresher
from serving.settings import ServingSettings
from serving.supervisor import NotifyingSupervisor, metrics_folder

DRAIN_S = 10  # from SIGTERM until requests in progress are cancelled
# How long a thread may go on while another waits; Python's own 5 ms, several times in a request, would be its
# slowest percent while the log is written.
SWITCH_S = 0.0001
OpenApp: TypeAlias = Callable[[Home, ServingSettings], FastAPI]
RETRY_SECONDS = 1.0  # between attempts of a worker to start while a store is unavailable
_log = logging.getLogger(__name__)


def serve(
    home: Home,
    settings: ServingSettings,
    ready: Callable[[], None],
    open_app: OpenApp,
    factory: str,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished and the log is committed.

    The service listens on the socket that systemd passes, if it does. When it stops, connections are drained
    for ``DRAIN_S`` seconds at most, see :class:`~serving.edge.draining.DrainedProtocol`. In a shop that
    receives events, a refresher process is started and ended with the service, unless shards divide the shop.

    Args:
        ready: called when requests are answered.
        open_app: opens the application.
        factory: ``MODULE:FUNCTION``, which calls :func:`worker` with it in a process of its own.

    Raises:
        PatronError: the home cannot be served, or other machines could reach it and it has no key.
    """
    logging_setup.configure(FeatureSettings().log_format)
    allow_open_files()
    shop = home.shop()
    Database(home).prepare()  # once, before workers and the refresher open it
    authentication.check(Keys(home), settings.host, on_loopback=settings.on_loopback)

    def report_ready() -> None:
        systemd.notify("READY=1")
        ready()

    with_refresher = shop.live and settings.refresher == "child"
    # Ctrl-C is the usual way to stop the service.
    with running_refresher(home) if with_refresher else nullcontext(), suppress(KeyboardInterrupt):
        if settings.workers > 1:
            _serve_in_workers(home, settings, report_ready, factory)
        else:
            server = NotifyingServer(serving_config(_open(home, settings, open_app), settings), report_ready)
            server.run(systemd.passed_sockets() or None)


def worker(open_app: OpenApp) -> FastAPI:
    """The application of one of several processes, with settings from the environment."""
    private.restrict_umask()
    logging_setup.configure(FeatureSettings().log_format)
    home, settings, logged = FeatureSettings().open_home(), ServingSettings(), False
    while True:
        try:
            app = _open(home, settings, open_app)
            shared_counts()  # from now on the others leave connections to this one
            return app
        except StoreUnavailable as error:  # the others serve meanwhile; a failure would end them, too
            if not logged:
                _log.error("a worker waits to start: %s", error)
            logged = True
            time.sleep(RETRY_SECONDS)
        except PatronError as error:
            _log.error("%s", error)
            sys.exit(STARTUP_FAILURE)


class NotifyingServer(uvicorn.Server):
    """A server in this process that calls ``ready`` when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, and call ``ready``."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def _serve_in_workers(home: Home, settings: ServingSettings, ready: Callable[[], None], factory: str) -> None:
    """Serve from several processes over the same home, which listen on one socket."""
    connection.limit_waiting(connection.SERVICE_SECONDS)
    with suppress(StoreUnavailable):
        Registry(home).versions(*list(MODELS)[:1])  # MLflow creates its tables, which two must not do at once
    values = {"home": home.path, "database": home.database, **settings.model_dump()}
    os.environ.update(
        {f"PATRON_{name.upper()}": str(value) for name, value in values.items() if value is not None}
    )
    config = serving_config(factory, settings)
    with metrics_folder() as folder:
        os.environ[SHARED] = str(folder / "registry.json")
        sockets = systemd.passed_sockets() or [config.bind_socket()]
        NotifyingSupervisor(config, sockets, ready, folder).run()


def _open(home: Home, settings: ServingSettings, open_app: OpenApp) -> FastAPI:
    """The application over a home, in a process of its own."""
    import_lightgbm_alone()
    sys.setswitchinterval(SWITCH_S)
    connection.limit_waiting(connection.SERVICE_SECONDS)
    app = open_app(home, settings)
    garbage.search_only_new()
    return app


def serving_config(app: FastAPI | str, settings: ServingSettings) -> uvicorn.Config:
    """How uvicorn serves an application, or the one that a factory named ``MODULE:FUNCTION`` makes."""
    # An access log would contain nothing that the metrics do not, and would cost a write per request.
    return uvicorn.Config(
        app, factory=isinstance(app, str), host=settings.host, port=settings.port, workers=settings.workers,
        http=DrainedProtocol, ws="none", server_header=False,
        proxy_headers=True, forwarded_allow_ips=settings.trusted_proxies,
        log_config=None, log_level="warning", access_log=False,
        timeout_graceful_shutdown=DRAIN_S, timeout_worker_healthcheck=60,
    )  # fmt: skip
