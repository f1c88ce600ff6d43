"""One file per resource; the list is what the application serves."""

from __future__ import annotations

from fastapi import APIRouter

from serving.routes import decisions, models, operations, runs, scores

ROUTERS: tuple[APIRouter, ...] = (
    scores.router,
    decisions.router,
    runs.router,
    models.router,
    operations.router,
)
