"""What is learnt and from when: the recipe behind a model, its moments, and one fit of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from core.errors import PatronError
from features.offline import populations
from features.workspace import Workspace
from models.registry.bundle import FittedModel
from models.spec import CustomerModel
from training.customers.dataset import Dataset, Split, split


def asked_with(model: CustomerModel, horizon_days: int | None) -> CustomerModel:
    """The model with another horizon, or as it stands for None."""
    if horizon_days is None:
        return model
    if horizon_days < 1:
        raise PatronError(f"a horizon of {horizon_days} days is not one; use at least 1")
    return replace(model, horizon=timedelta(days=horizon_days), shorter_horizons=())


def fitted_for(model: CustomerModel) -> tuple[CustomerModel, bool]:
    """The model whose fit answers, and whether as the complement (1 − its score).

    A model with an opposite is always learnt as that opposite, at its own horizon. So where the
    horizons coincide, the fits are the same and the two can never contradict each other.
    """
    if model.complement_of is not None:
        return replace(model.complement_of, horizon=model.horizon, shorter_horizons=()), True
    return model, False


def moments_of(workspace: Workspace, model: CustomerModel) -> Split:
    """The built moments that a model learns from and is tested at.

    Raises:
        PatronError: the history is too short.
    """
    monthly = [
        t
        for t in workspace.snapshots.as_ofs
        if t in set(populations.origins(workspace.home)) and t <= workspace.snapshots.current
    ]
    return split(model, monthly, workspace.snapshots.current, workspace.shop.time_zone)


def fit(data: Dataset, complement: bool, version: str) -> FittedModel:
    """Fit the model's estimator on all rows of a dataset."""
    columns = data.columns()
    categorical = [i for i, column in enumerate(columns) if column.dtype == "string"]
    fitted = data.model.estimator().fit(
        data.x(columns), data.y, data.frame["customer_key"].to_numpy(np.int64), categorical, data.asked
    )
    manifest: dict[str, Any] = {
        "model": data.model.name,
        "features": [asdict(column) for column in columns],
        "eligible": [condition.as_dict() for condition in data.model.eligible],
        "complement": complement,
    }
    return FittedModel(version, manifest, fitted, {})


def columns_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A frame as lists by column, as models read it."""
    return {str(name): frame[name].tolist() for name in frame}


def refuse_if_poor(model: CustomerModel, data: Dataset) -> None:
    """Refuse to learn from too few customers, or too few outcomes of a kind.

    Raises:
        PatronError: says how many there are and how many it takes.
    """
    customers = data.frame["customer_key"].nunique() if len(data.frame) else 0
    if customers < model.minimum_customers:
        raise PatronError(
            f"{model.name} cannot be trained: {customers} customers have a known outcome and it"
            f" takes {model.minimum_customers}; import more history"
        )
    with_outcome = int((data.y > 0).sum())
    fewer = min(with_outcome, len(data.y) - with_outcome) if model.kind == "probability" else with_outcome
    if fewer < model.minimum_outcomes:
        raise PatronError(
            f"{model.name} cannot be trained: {with_outcome} of {len(data.y)} outcomes are positive, and"
            f" it takes {model.minimum_outcomes} of each kind; use another --horizon or import more history"
        )
