"""The application: its routes, the services that they use, and how those are closed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, closing
from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

import features
from core.errors import in_words
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from events.queries.timeline import Timeline
from models.registry.registry import Registry
from records import ScoreLog
from records.audit.log import AuditLog
from records.audit.queue import AuditQueue
from records.decisions import DecisionLog
from records.requests.idempotency import IdempotencyKeys
from serving.access import authentication
from serving.access.idempotency import Idempotency
from serving.access.keys import Keys
from serving.access.limits import Limits
from serving.actions.counted import CountedCatalogues
from serving.audiences.reach import CurrentReach
from serving.catalogue.model_versions import ModelVersions
from serving.catalogue.other_models import OtherModels
from serving.customers.score_order import ScoreOrders
from serving.decisions.decider import Decider
from serving.decisions.runs import DecisionRuns
from serving.edge.documentation import ClosedDocumentationMiddleware
from serving.edge.headers import ResponseHeadersMiddleware
from serving.edge.hosts import AllowedHosts, HostMiddleware
from serving.events.endpoint import EventsEndpoint
from serving.events.intake import Intake
from serving.http import problems, services
from serving.http.body_limit import BodyLimitMiddleware
from serving.http.cors import EventsCorsMiddleware
from serving.http.metrics import Metrics
from serving.http.observability import ObservabilityMiddleware
from serving.http.representation import RepresentationMiddleware
from serving.http.services import Services
from serving.operations.collectors import (
    BuildCollector,
    ChampionSampler,
    JournalCollector,
    ModelCollector,
    RefresherCollector,
)
from serving.plans.background import Plans
from serving.plans.previews import PlanPreviews
from serving.rankings.service import CategoryService, ProductService
from serving.routers import ROUTERS
from serving.score_jobs.background import ScoreJobs
from serving.scores.champion_watch import ChampionWatch, ChampionWatcher, log_changes
from serving.scores.champions import ChampionState
from serving.scores.endpoint import ScoresEndpoint
from serving.scores.explainer import Explainer
from serving.scores.scorer import Scorer, open_scorer
from serving.settings import ServingSettings
from serving.tracing import Tracer, open_tracer

Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]
DESCRIPTION = "Customer intelligence: churn, propensity and lifetime value, from a company's own events."
_log = logging.getLogger(__name__)


def create_app(
    scorer: Scorer,
    log: ScoreLog,
    *,
    keys: Keys | None = None,
    keys_needed: bool = False,
    limits: Limits | None = None,
    watcher: ChampionWatcher | None = None,
    origins: Sequence[str] = (),
    hosts: AllowedHosts | None = None,
    open_docs: bool = False,
    tracer: Tracer | None = None,
) -> FastAPI:
    """The application over an opened scorer. Its shutdown closes everything that is passed in or opened here.

    Args:
        log: receives the predictions.
        keys: the keys that it accepts; None if there are none.
        keys_needed: whether a request without a key is refused.
        limits: the request limits of the keys; None for no limits.
        watcher: replaces the scorer's models when others are promoted; None to keep those it has.
        origins: those whose web pages may send events.
        hosts: those that requests may name; None for all.
        open_docs: whether the API's documentation needs no key where other routes do.
        tracer: exports a trace of each request; None for no traces.
    """
    watch = watcher.watch if watcher is not None else ChampionWatch(scorer.home)
    instances = _open_services(scorer, log, watch)
    app = _without_services(_lifespan(instances, log, keys, limits, watcher, tracer))
    services.install(app, instances)
    app.add_middleware(EventsEndpoint, services=instances)
    app.add_middleware(ScoresEndpoint, services=instances)
    if not open_docs:
        app.add_middleware(ClosedDocumentationMiddleware)
    authentication.install(app, keys, keys_needed, limits, instances[Metrics])
    app.add_middleware(BodyLimitMiddleware)
    if origins:
        app.add_middleware(EventsCorsMiddleware, origins=origins)
    if hosts is not None:
        app.add_middleware(HostMiddleware, hosts=hosts)
    app.add_middleware(ObservabilityMiddleware, metrics=instances[Metrics], tracer=tracer)
    app.add_middleware(RepresentationMiddleware)
    app.add_middleware(ResponseHeadersMiddleware)
    return app


def _open_services(scorer: Scorer, log: ScoreLog, watch: ChampionWatch) -> Services:
    """What the routes use."""
    home, instances = scorer.home, Services()
    instances.add(scorer, Scorer)
    metrics = instances.add(Metrics(log))
    instances.add(AuditQueue(instances.add(AuditLog(home)), scorer.identity.keys))
    instances.add(Timeline(home))
    instances.add(ScoreOrders(home))
    other_models = instances.add(OtherModels(watch))
    instances.add(ModelVersions(watch))
    instances.add(CountedCatalogues(home, instances.add(CurrentReach(home))))
    counts = instances.add(JournalCollector(home))

    def champion_states() -> dict[str, ChampionState]:
        return scorer.champions.states() | other_models.champions()

    metrics.samplers.append(ChampionSampler(champion_states, metrics.registry))
    metrics.collectors += [BuildCollector(), ModelCollector(champion_states)]
    if scorer.shop.live:
        metrics.collectors += [RefresherCollector(scorer.freshness), counts]
    instances.add(Explainer(scorer))
    instances.add(ProductService(watch, scorer.identity))
    instances.add(CategoryService(watch, scorer.identity))
    instances.add(ScoreJobs(scorer))
    instances.add(Idempotency(IdempotencyKeys(Database(home))))
    decider = instances.add(Decider(scorer, instances.add(DecisionLog(home)), watch))
    instances.add(DecisionRuns(decider))
    instances.add(Plans(decider))
    instances.add(PlanPreviews(decider))
    instances.add(Intake(home))
    return instances


def _lifespan(
    instances: Services, log: ScoreLog, keys: Keys | None, limits: Limits | None,
    watcher: ChampionWatcher | None, tracer: Tracer | None,
) -> Lifespan:  # fmt: skip
    """What an application does from its start to its end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Services are closed here and not after the server: uvicorn ends the process by the signal that
        # stopped it.
        async with AsyncExitStack() as stack:

            def at_end(name: str, close: Callable[[], None]) -> None:
                stack.push_async_callback(_close, name, close)

            # Closed from the last to the first: what answers requests before what it reads and writes.
            if tracer is not None:
                at_end("the traces", tracer.close)
            at_end("the metrics", instances[Metrics].close)
            at_end("the counts of events", instances[JournalCollector].close)
            if limits is not None:
                at_end("the request limits", limits.close)
            if keys is not None:
                at_end("the keys", keys.close)
            at_end("the score log", log.close)
            at_end("the log of decisions", instances[Decider].log.close)
            at_end("the scorer", instances[Scorer].close)
            at_end("the audit log", instances[AuditQueue].close)
            at_end("the states of other models", instances[OtherModels].close)
            at_end("the reach of channels", instances[CurrentReach].close)
            at_end("the score jobs", instances[ScoreJobs].close)
            at_end("the ranking of categories", instances[CategoryService].close)
            at_end("the ranking of products", instances[ProductService].close)
            at_end("the explainer", instances[Explainer].close)
            at_end("the decision runs", instances[DecisionRuns].close)
            at_end("the plans", instances[Plans].close)
            at_end("the previews of plans", instances[PlanPreviews].close)
            at_end("the event intake", instances[Intake].close)
            instances[Metrics].start()
            instances[Scorer].freshness.start()
            if instances[Scorer].shop.live:
                await run_in_threadpool(instances[Intake].start)
            if watcher is not None:
                watcher.start()
                at_end("the watch over promotions", watcher.close)
            await run_in_threadpool(instances[ScoreJobs].resume)
            await run_in_threadpool(instances[DecisionRuns].resume)
            await run_in_threadpool(instances[Plans].resume)
            yield

    return lifespan


async def _close(name: str, close: Callable[[], None]) -> None:
    """Close a service; a failure is logged, so that the others are closed as well."""
    try:
        await run_in_threadpool(close)
    except Exception as error:
        _log.error("%s could not be closed: %s", name, in_words(error))


def _without_services(lifespan: Lifespan | None) -> FastAPI:
    """All routes, without services. FastAPI's telemetry is off: its messages of errors may name customers."""
    app: FastAPI = FastAPIOffline(
        title="Patron", version=features.__version__, description=DESCRIPTION, lifespan=lifespan,
        telemetry=dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False),
    )  # fmt: skip
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def describe() -> dict[str, Any]:
    """The API as OpenAPI describes it; opens nothing."""
    return _without_services(None).openapi()


def open_app(home: Home, settings: ServingSettings) -> FastAPI:
    """The application over a home; its shutdown closes what this opens."""
    home.shop()  # fails before a log is created where there is no shop
    with ExitStack() as opened:
        log = opened.enter_context(ScoreLog(home))
        registry = Registry(home)
        scorer = open_scorer(home, log, registry, settings.store_budget_ms / 1000)
        opened.enter_context(closing(scorer))
        log_changes(None, scorer.champions)
        app = create_app(
            scorer, log, keys=Keys(home), keys_needed=settings.keys_needed,
            limits=Limits(home, FeatureSettings().online_store, settings.key_per_minute),
            watcher=ChampionWatcher(ChampionWatch(home, registry), scorer),
            origins=settings.origins, hosts=settings.hosts, open_docs=settings.open_docs,
            tracer=open_tracer(),
        )  # fmt: skip
        opened.pop_all()
    return app
