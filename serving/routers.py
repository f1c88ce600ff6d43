"""The routes of all slices, in the order in which they match."""

from __future__ import annotations

from fastapi import APIRouter

import serving.actions.routes
import serving.audiences.routes
import serving.catalogue.routes
import serving.customers.routes
import serving.decisions.routes
import serving.decisions.run_routes
import serving.events.routes
import serving.kpis.routes
import serving.operations.routes
import serving.plans.routes
import serving.rankings.routes
import serving.results.routes
import serving.score_jobs.routes
import serving.scores.routes
import serving.segments.routes

# The customers' routes come last: their ids may contain slashes, so they match every path that is left.
ROUTERS: tuple[APIRouter, ...] = (
    serving.scores.routes.router,
    serving.score_jobs.routes.router,
    serving.events.routes.router,
    serving.decisions.routes.router,
    serving.decisions.run_routes.router,
    serving.actions.routes.router,
    serving.actions.routes.funnels_router,
    serving.audiences.routes.router,
    serving.plans.routes.router,
    serving.segments.routes.router,
    serving.kpis.routes.router,
    serving.results.routes.router,
    serving.catalogue.routes.router,
    serving.operations.routes.router,
    serving.rankings.routes.router,
    serving.customers.routes.router,
)
