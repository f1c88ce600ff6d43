"""One file per resource; the list is what the application serves."""

from __future__ import annotations

from fastapi import APIRouter

from serving.routes import (
    categories,
    customers,
    decisions,
    events,
    models,
    operations,
    products,
    runs,
    score_jobs,
    scores,
    segments,
)

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
