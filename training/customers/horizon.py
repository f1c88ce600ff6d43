"""The horizon of a customer model: its own, one that the user states, or that of its champion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.errors import PatronError
from models.registry.registry import Registry
from models.spec import CustomerModel


def with_horizon(model: CustomerModel, horizon_days: int | None) -> CustomerModel:
    """The model with another horizon, or unchanged for None.

    Raises:
        PatronError: the horizon is shorter than a day.
    """
    if horizon_days is None:
        return model
    if horizon_days < 1:
        raise PatronError(f"a horizon of {horizon_days} days is not possible; use at least 1")
    return replace(model, horizon=timedelta(days=horizon_days), shorter_horizons=())


def as_published(registry: Registry, model: CustomerModel) -> CustomerModel:
    """The model with the horizon of its champion, or of its newest version; unchanged if it has no version.

    Raises:
        PatronError: the version cannot be read.
    """
    versions = registry.versions(model.name)
    version = next((v for v in versions if v.champion), next(iter(versions), None))
    if version is None:
        return model
    return with_horizon(model, int(registry.open(model.name, version.version).manifest["horizon_days"]))
