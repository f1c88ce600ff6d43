"""The application, and running it over a home."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import socket

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

import features
from features.database import Database
from features.home import Home
from features.logs import ScoreLog
from features.logs.decisions import DecisionLog
from features.timeline import Timeline
from serving import access, problems
from serving.decider import Decider
from serving.keys import Keys
from serving.metrics import Metrics, Timing
from serving.routes import ROUTERS
from serving.runs import Runs
from serving.scorer import Scorer, open_scorer
from serving.settings import ServingSettings

DESCRIPTION = "Customer intelligence: churn, propensity and lifetime value, from a company's own events."


def create_app(
    scorer: Scorer, log: ScoreLog, *, keys: Keys | None = None, keys_needed: bool = False
) -> FastAPI:
    """The service over an opened scorer and the log that it writes, which it closes at its end.

    Args:
        keys: those that it knows, closed likewise; None if none.
        keys_needed: whether it answers nobody without a key.
    """
    decider = Decider(scorer, DecisionLog(scorer.home))
    runs = Runs(decider)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        # Here and not after the server: uvicorn ends the process by the signal that stopped it.
        await run_in_threadpool(runs.stop)
        await run_in_threadpool(decider.log.close)
        await run_in_threadpool(log.close)
        if keys is not None:
            keys.close()

    app: FastAPI = FastAPIOffline(
        title="Patron", version=features.__version__, description=DESCRIPTION, lifespan=lifespan
    )
    app.state.scorer = scorer
    app.state.metrics = Metrics(log)
    access.install(app, keys, keys_needed)
    app.state.timeline = Timeline(scorer.home)
    app.state.decider, app.state.runs = decider, runs
    app.add_middleware(Timing)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def serve(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished and the log is committed.

    Args:
        ready: called once requests are answered.

    Raises:
        PatronError: the home holds nothing that could be served, or no key and others could ask.
    """
    import uvicorn

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    home.shop()  # before a log is made where there is no shop
    Database(home).prepare()
    keys = Keys(home)
    access.check(keys, settings)
    with ScoreLog(home) as log:
        scorer = open_scorer(home, log)
        # An access log would hold nothing that the metrics do not, and cost a write per request.
        config = uvicorn.Config(
            create_app(scorer, log, keys=keys, keys_needed=settings.keys_needed),
            host=settings.host, port=settings.port,
            log_level="warning", access_log=False, timeout_graceful_shutdown=10,
        )  # fmt: skip
        with suppress(KeyboardInterrupt):  # Ctrl-C is how one stops it
            Announcing(config).run()
