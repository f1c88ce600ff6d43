"""One file per resource; the list is what the application serves."""

from __future__ import annotations

from fastapi import APIRouter

from serving.catalogue import routes as models
from serving.customers import routes as customers
from serving.decisions import routes as decisions
from serving.decisions import run_routes as runs
from serving.events import routes as events
from serving.operations import routes as operations
from serving.rankings import category_routes as categories
from serving.rankings import routes as products
from serving.score_jobs import routes as score_jobs
from serving.scores import routes as scores
from serving.segments import routes as segments

# The customers' come last: their ids may hold slashes, so that route takes whatever others leave.
ROUTERS: tuple[APIRouter, ...] = (
    scores.router,
    score_jobs.router,
    events.router,
    decisions.router,
    runs.router,
    segments.router,
    models.router,
    operations.router,
    products.router,
    categories.router,
    customers.router,
)
