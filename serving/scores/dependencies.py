"""The scorer as a dependency of routes, and the check of the models that a request names."""

from __future__ import annotations

from typing import Annotated

from serving.http.problems import Unprocessable
from serving.http.services import service
from serving.scores.scorer import Scorer

ScorerDep = Annotated[Scorer, service(Scorer)]


def known_models(scorer: Scorer, names: list[str] | None) -> list[str] | None:
    """Check that each name is the name of a model, and return the names.

    Raises:
        Unprocessable: there is no such model; the message lists the models.
    """
    champions = scorer.champions
    all_names = [*champions.models, *champions.unavailable]
    if unknown := [name for name in names or () if name not in all_names]:
        raise Unprocessable(
            f"models: there is no model {unknown[0][:50]!r}; there are {', '.join(sorted(all_names))}"
        )
    return names
