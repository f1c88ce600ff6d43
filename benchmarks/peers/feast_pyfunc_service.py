"""The peer of serving: features by the Feast SDK, models by ``mlflow.pyfunc``, as their manuals show.

Stores and models are opened once, at the start; all three models share one read of the features.
It does less than this project does: no percentiles, no eligibility, no log, no metrics.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import feast
import mlflow
from fastapi import FastAPI, HTTPException
from feast.infra.online_stores.redis import RedisOnlineStoreConfig
from mlflow.types import DataType
from pydantic import BaseModel

from benchmarks.peers.feast_store import materialize, open_store
from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity
from features.offline.current import load_current
from models.registry.connection import local_uri
from serving.scores.schemas import ScoresRequest

MODELS = ("churn", "propensity", "clv")


class CustomerScores(BaseModel):
    """The scores of a customer, by model."""

    customer_id: str
    scores: dict[str, float]


class ScoresResponse(BaseModel):
    """One entry per customer asked for."""

    customers: list[CustomerScores]


def create_app() -> FastAPI:
    """The service over the home that ``PATRON_HOME`` names."""
    home = FeatureSettings().open_home()
    ids = Identity(home).table()
    keys = dict(zip(ids["customer_id"].to_pylist(), ids["customer_key"].to_pylist(), strict=True))
    store = _open_store(home)
    models = _load_models(home)
    inputs = {
        name: [column for column in model.metadata.get_input_schema().input_names() if column != "as_of"]
        for name, model in models.items()
    }
    numbers = sorted({name for model in models.values() for name in _doubles(model)})
    features = _references(store, {feature for names in inputs.values() for feature in names})

    app = FastAPI()

    @app.post("/v1/scores")
    def scores(request: ScoresRequest) -> ScoresResponse:
        if unknown := [i for i in request.customer_ids if i not in keys]:
            raise HTTPException(404, f"unknown customer {unknown[0]}")
        rows = [{"customer_key": keys[customer_id]} for customer_id in request.customer_ids]
        frame = store.get_online_features(features=features, entity_rows=rows).to_df()
        frame[numbers] = frame[numbers].astype("float64")
        names = request.models or list(models)
        predictions = {name: models[name].predict(frame[inputs[name]]) for name in names}
        return ScoresResponse(
            customers=[
                CustomerScores(
                    customer_id=customer_id, scores={name: float(predictions[name][i]) for name in names}
                )
                for i, customer_id in enumerate(request.customer_ids)
            ]
        )

    return app


def _open_store(home: Home) -> feast.FeatureStore:
    """A Feast store on Redis as its manual shows it, filled with what this project's own holds."""
    where = os.environ["PEER_REDIS"]
    store = open_store(home, Path(mkdtemp()), RedisOnlineStoreConfig(connection_string=where))
    materialize(store, load_current(home).as_of)
    return store


def _load_models(home: Home) -> dict[str, Any]:
    mlflow.set_tracking_uri(local_uri(home))
    mlflow.set_registry_uri(local_uri(home))
    return {name: mlflow.pyfunc.load_model(f"models:/{name}@champion") for name in MODELS}


def _doubles(model: Any) -> list[str]:
    """The inputs that MLflow must get as doubles: it refuses the store's integers for them.

    MLflow's manual asks for doubles where an integer may be missing.
    """
    schema = model.metadata.get_input_schema()
    types = zip(schema.input_names(), schema.input_types(), strict=True)
    return [name for name, data_type in types if data_type is DataType.double]


def _references(store: feast.FeatureStore, features: set[str]) -> list[str]:
    """``view:feature`` for each feature."""
    views = store.list_feature_views()
    return [
        f"{view.name}:{field.name}" for view in views for field in view.features if field.name in features
    ]
