"""What routes ask for by type: signatures read as requirements."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from events.queries.timeline import Timeline
from serving.catalogue.other_models import Beside
from serving.decisions.decider import Decider
from serving.decisions.runs import Runs
from serving.events.intake import Intake
from serving.http.metrics import Metrics
from serving.http.problems import Unprocessable
from serving.rankings.categories import Categories
from serving.rankings.products import Products
from serving.score_jobs.background import ScoreJobs
from serving.scores.explainer import Explainer
from serving.scores.scorer import Scorer


def _held(name: str) -> Any:
    """A dependency: what the application holds by this name."""

    # Async, so that FastAPI calls it at once, without a thread.
    async def held(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(held)


ScorerDep = Annotated[Scorer, _held("scorer")]
MetricsDep = Annotated[Metrics, _held("metrics")]
TimelineDep = Annotated[Timeline, _held("timeline")]
DeciderDep = Annotated[Decider, _held("decider")]
RunsDep = Annotated[Runs, _held("runs")]
ScoreJobsDep = Annotated[ScoreJobs, _held("score_jobs")]
ExplainerDep = Annotated[Explainer, _held("explainer")]
ProductsDep = Annotated[Products, _held("products")]
BesideDep = Annotated[Beside, _held("beside")]
CategoriesDep = Annotated[Categories, _held("categories")]
IntakeDep = Annotated[Intake, _held("intake")]


def known_models(scorer: Scorer, names: list[str] | None) -> list[str] | None:
    """The names as they are, once each is known to be a model's.

    Raises:
        Unprocessable: one is not; the text says which there are.
    """
    champions = scorer.champions
    all_names = [*champions.models, *champions.absent]
    if unknown := [name for name in names or () if name not in all_names]:
        raise Unprocessable(
            f"models: there is no model {unknown[0][:50]!r}; there are {', '.join(sorted(all_names))}"
        )
    return names
