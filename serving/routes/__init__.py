"""One file per resource; the list is what the application serves."""

from __future__ import annotations

from fastapi import APIRouter

from serving.routes import models, operations, scores, segments

ROUTERS: tuple[APIRouter, ...] = (scores.router, segments.router, models.router, operations.router)
