"""The models that answer, and why others do not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from models.questions import every
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.catalogue.other_models import OtherModels
from serving.http.services import service
from serving.scores.dependencies import ScorerDep
from serving.scores.schemas import ModelState
from serving.scores.scorer import Scorer

router = APIRouter(prefix="/v1", tags=["models"], dependencies=[needs(Scope.OPERATIONS)])
OtherModelsDep = Annotated[OtherModels, service(OtherModels)]


@router.get(
    "/models", operation_id="list_models", response_description="Every model, also those that do not answer."
)
async def models(scorer: ScorerDep, other_models: OtherModelsDep) -> list[ModelState]:
    """Each model: its question, the version that answers, what its score means, what it reads."""
    return [*scoring_models(scorer), *await run_in_threadpool(other_models.states)]


def scoring_models(scorer: Scorer) -> list[ModelState]:
    """The states of the models that score customers."""
    champions, states = scorer.champions, []
    for name, model in every().items():
        if name not in champions.models and name not in champions.unavailable:
            continue  # an optional one, which this shop does not ask
        state = ModelState(
            name=name,
            question=model.question,
            reason=champions.unavailable.get(name, champions.pending.get(name)),
        )
        if name in champions.models:
            fitted = champions.models[name]
            state.version = fitted.version
            state.meaning = fitted.manifest["meaning"]
            money = fitted.manifest["kind"] == "money"
            state.unit = scorer.shop.currency if money else "probability"
            state.horizon_days = fitted.manifest["horizon_days"]
            state.trained_as_of = datetime.fromisoformat(fitted.manifest["as_of"])
            state.default_score = fitted.default_score
            if name in champions.challengers:
                state.challenger = champions.challengers[name].challenge.words
            state.features = list(fitted.features)
        states.append(state)
    return states
