"""The application, and running it over a home."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from socket import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

import features
from core import logging_setup as log_lines
from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from events.queries.timeline import Timeline
from features.live import child_process as background
from models.estimators.trees import import_lightgbm_alone
from models.questions import MODELS
from models.registry.registry import Registry
from records import ScoreLog
from records.decisions import DecisionLog
from serving.access import authentication as access
from serving.access.keys import Keys
from serving.access.limits import Limits
from serving.catalogue.other_models import Beside
from serving.decisions.decider import Decider
from serving.decisions.runs import Runs
from serving.events.intake import Intake
from serving.http import problems
from serving.http.body_limit import Bounded
from serving.http.metrics import Metrics
from serving.http.observability import Observed
from serving.rankings.categories import Categories
from serving.rankings.products import Products
from serving.routers import ROUTERS
from serving.score_jobs.background import ScoreJobs
from serving.scores.champions import Follower
from serving.scores.explainer import Explainer
from serving.scores.scorer import Scorer, open_scorer
from serving.settings import ServingSettings

DESCRIPTION = "Customer intelligence: churn, propensity and lifetime value, from a company's own events."
START_SECONDS = 120.0  # that a worker may take until it answers
_log = logging.getLogger(__name__)


def create_app(
    scorer: Scorer,
    log: ScoreLog,
    *,
    keys: Keys | None = None,
    keys_needed: bool = False,
    limits: Limits | None = None,
    follower: Follower | None = None,
) -> FastAPI:
    """The service over an opened scorer and the log that it writes, which it closes at its end.

    Args:
        keys: those that it knows, closed likewise; None if none.
        keys_needed: whether it answers nobody without a key.
        limits: that it holds keys to, closed likewise; None if to none.
        follower: lets it answer with what is promoted while it runs; None if it keeps what it began with.
    """
    decider = Decider(scorer, DecisionLog(scorer.home))
    runs, score_jobs, explainer = Runs(decider), ScoreJobs(scorer), Explainer(scorer)
    intake, products, categories = Intake(scorer.home), Products(scorer.home), Categories(scorer.home)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if follower is not None:
            follower.start()
        await run_in_threadpool(score_jobs.resume)
        yield
        if follower is not None:
            await run_in_threadpool(follower.close)
        # Here and not after the server: uvicorn ends the process by the signal that stopped it.
        await run_in_threadpool(intake.close)
        await run_in_threadpool(runs.stop)
        await run_in_threadpool(explainer.close)
        await run_in_threadpool(products.close)
        await run_in_threadpool(categories.close)
        await run_in_threadpool(score_jobs.stop)
        await run_in_threadpool(scorer.close)
        await run_in_threadpool(decider.log.close)
        await run_in_threadpool(log.close)
        for held in (keys, limits):
            if held is not None:
                held.close()

    app = _blank(lifespan)
    app.state.scorer = scorer
    app.state.metrics = Metrics(log, scorer.home)
    access.install(app, keys, keys_needed, limits, app.state.metrics)
    app.state.beside = Beside(scorer.home)
    app.state.timeline = Timeline(scorer.home)
    app.state.explainer = explainer
    app.state.decider, app.state.runs, app.state.intake = decider, runs, intake
    app.state.score_jobs, app.state.products, app.state.categories = score_jobs, products, categories
    app.add_middleware(Bounded)
    app.add_middleware(Observed, metrics=app.state.metrics)
    return app


def _blank(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None) -> FastAPI:
    """All routes, and nothing that they could answer from."""
    app: FastAPI = FastAPIOffline(
        title="Patron", version=features.__version__, description=DESCRIPTION, lifespan=lifespan
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def describe() -> dict[str, Any]:
    """The API as OpenAPI has it; opens nothing."""
    return _blank(None).openapi()


def open_app(home: Home, settings: ServingSettings) -> FastAPI:
    """The service over a home; its end closes what it opened."""
    home.shop()  # before a log is made where there is no shop
    log = ScoreLog(home)
    try:
        registry = Registry(home)
        scorer = open_scorer(home, log, registry, settings.store_budget_ms / 1000)
        return create_app(
            scorer, log, keys=Keys(home), keys_needed=settings.keys_needed,
            limits=Limits(home, FeatureSettings().online_store, settings.key_per_minute),
            follower=Follower(registry, scorer),
        )  # fmt: skip
    except BaseException:
        log.close()
        raise


def worker() -> FastAPI:
    """The service in one of several processes, by settings from the environment."""
    log_lines.configure(FeatureSettings().log_format)
    try:
        return _ready(FeatureSettings().open_home(), ServingSettings())
    except PatronError as error:
        _log.error("%s", error)
        sys.exit(STARTUP_FAILURE)


def serve(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished and the log is committed.

    Where events arrive, a refresher is started beside it and ends with it.

    Args:
        ready: called once requests are answered.

    Raises:
        PatronError: the home holds nothing that could be served, or no key and others could ask.
    """
    log_lines.configure(FeatureSettings().log_format)
    shop = home.shop()
    Database(home).prepare()  # once, before workers and a refresher ask for it
    access.check(Keys(home), settings)
    beside = _refresher(home) if shop.live and settings.refresher == "child" else nullcontext()
    with beside, suppress(KeyboardInterrupt):  # Ctrl-C is how one stops it
        _many(home, settings, ready) if settings.workers > 1 else _one(home, settings, ready)


@contextmanager
def _refresher(home: Home) -> Iterator[None]:
    """A refresher beside; it also ends when this process is killed."""
    work = background.start(home, "refresh")
    try:
        yield
    finally:
        work.end()


def _config(app: FastAPI | str, settings: ServingSettings) -> uvicorn.Config:
    # An access log would hold nothing that the metrics do not, and cost a write per request.
    return uvicorn.Config(
        app, factory=isinstance(app, str), host=settings.host, port=settings.port, workers=settings.workers,
        log_config=None, log_level="warning", access_log=False,
        timeout_graceful_shutdown=10, timeout_worker_healthcheck=60,
    )  # fmt: skip


def _one(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    Announcing(_config(_ready(home, settings), settings)).run()


def _ready(home: Home, settings: ServingSettings) -> FastAPI:
    """The service over a home in a process of its own."""
    import_lightgbm_alone()
    app = open_app(home, settings)
    # What was imported and opened stays: to look through it for garbage takes tenths of a second.
    gc.collect()
    gc.freeze()
    return app


def _many(home: Home, settings: ServingSettings, ready: Callable[[], None]) -> None:
    """Several processes, each with the service over the same home, that listen on one socket."""

    class Announcing(Multiprocess):
        def init_processes(self) -> None:
            super().init_processes()
            self.listen()
            if all(process.wait_until_ready(START_SECONDS) for process in self.processes):
                ready()

        def keep_subprocess_alive(self) -> None:
            super().keep_subprocess_alive()
            self.listen()

        def listen(self) -> None:
            # Without a copy of a worker's end the supervisor hears at once that it died. Else it would wait a
            # minute for the answer to a ping, and others that died would not be started again meanwhile.
            for process in self.processes:
                process.child_conn.close()

    Registry(home).versions(*list(MODELS)[:1])  # MLflow makes its tables, which only one may do at a time
    told = {"home": home.path, "database": home.database, **settings.model_dump()}
    os.environ.update(
        {f"PATRON_{name.upper()}": str(value) for name, value in told.items() if value is not None}
    )
    config = _config(f"{__name__}:{worker.__name__}", settings)
    Announcing(config, [config.bind_socket()]).run()
