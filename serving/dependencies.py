"""What routes ask for by type: signatures read as requirements."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from features.timeline import Timeline
from serving.decider import Decider
from serving.explainer import Explainer
from serving.intake import Intake
from serving.jobs import ScoreJobs
from serving.metrics import Metrics
from serving.problems import Unprocessable
from serving.runs import Runs
from serving.scorer import Scorer


async def _scorer(request: Request) -> Scorer:
    scorer: Scorer = request.app.state.scorer
    return scorer


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def _timeline(request: Request) -> Timeline:
    timeline: Timeline = request.app.state.timeline
    return timeline


async def _decider(request: Request) -> Decider:
    decider: Decider = request.app.state.decider
    return decider


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


async def _explainer(request: Request) -> Explainer:
    explainer: Explainer = request.app.state.explainer
    return explainer


async def _score_jobs(request: Request) -> ScoreJobs:
    jobs: ScoreJobs = request.app.state.score_jobs
    return jobs


async def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


# These are async so that FastAPI calls them at once, without a thread.
ScorerDep = Annotated[Scorer, Depends(_scorer)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
TimelineDep = Annotated[Timeline, Depends(_timeline)]
DeciderDep = Annotated[Decider, Depends(_decider)]
RunsDep = Annotated[Runs, Depends(_runs)]
ExplainerDep = Annotated[Explainer, Depends(_explainer)]
ScoreJobsDep = Annotated[ScoreJobs, Depends(_score_jobs)]
IntakeDep = Annotated[Intake, Depends(_intake)]


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
