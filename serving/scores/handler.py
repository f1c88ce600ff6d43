"""The response to ``POST /v1/scores``."""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread
from msgspec import to_builtins
from pydantic_core import to_json

from serving.http import timing
from serving.http.metrics import Metrics
from serving.http.problems import Unprocessable
from serving.http.services import Services
from serving.scores.batches import batch
from serving.scores.context import check_context
from serving.scores.dependencies import known_models
from serving.scores.explainer import Explainer
from serving.scores.response import customer_as_response, encode
from serving.scores.schemas import MAX_EXPLAINED, ScoresRequest
from serving.scores.score import ScoredCustomer, count_outcomes
from serving.scores.scorer import Scorer

FEW = 16  # the number of customers up to which scoring is faster than a switch of threads
MAX_LARGE = 2  # larger requests scored at the same time
_large = CapacityLimiter(MAX_LARGE)


async def scores_as_json(services: Services, body: ScoresRequest) -> bytes:
    """The scores of a request's customers as JSON, see :class:`serving.scores.schemas.ScoresResponse`.

    They are not validated by that model at run time; tests compare the two.

    Raises:
        Unprocessable: the request names an unknown model or feature, or explains too many customers.
    """
    scorer, metrics = services[Scorer], services[Metrics]
    timing.current().mark("receive")
    models = known_models(scorer, body.models)
    context = check_context(body.context, scorer.champions) if body.context else None
    if body.explain and len(body.customer_ids) > MAX_EXPLAINED:
        raise Unprocessable(f"explain: at most {MAX_EXPLAINED} customers can be explained in a request")

    few = len(body.customer_ids) <= FEW
    if not (few or body.explain or context):
        customers, counts = await to_thread.run_sync(
            batch.score, scorer, body.customer_ids, models, limiter=_large
        )
        metrics.count(counts)
        return encode(customers)

    def score() -> list[ScoredCustomer]:
        return scorer.score(body.customer_ids, models, allow_fallback=True, context=context)

    scored = score() if few else await to_thread.run_sync(score, limiter=_large)
    metrics.count(count_outcomes(scored))
    customers = [customer_as_response(customer) for customer in scored]
    if not body.explain:
        return encode(customers)
    explainer = services[Explainer]
    explanations = await explainer.run(
        lambda: [explainer.explain(customer, context or ()) for customer in scored]
    )
    explained = [to_builtins(entry) | more for entry, more in zip(customers, explanations, strict=True)]
    return to_json({"customers": explained}, inf_nan_mode="null")
