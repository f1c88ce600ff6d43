"""What the company can do for a customer, with who fits now; and changes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException, Path, Query

from core.errors import NothingThere
from core.home import Home
from decisions.catalogue import own_file
from decisions.catalogue.file import load
from decisions.catalogue.listing import describe
from decisions.results.newest_funnel import read
from records.decisions import DecisionLog
from serving.access.audit import audits_change
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.actions.counted import CountedCatalogues
from serving.actions.schemas import Catalogue, Funnels
from serving.http.params import digest_of
from serving.http.problems import Unprocessable, responses
from serving.http.services import service
from serving.scores.dependencies import ScorerDep

router = APIRouter(prefix="/v1/actions", tags=["decisions"])
# Not below /v1/actions, where it would be an action by name.
funnels_router = APIRouter(prefix="/v1", tags=["decisions"])
# No coroutines: they read and write files, so each runs in a thread.
ActionName = Annotated[str, Path(max_length=50, examples=["birthday_coupon"])]
FunnelName = Annotated[str, Path(max_length=50, examples=["reminder"])]
LogDep = Annotated[DecisionLog, service(DecisionLog)]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=100, description="The `digest` of the catalogue that is changed.", examples=['"4cdd9bba"']
    ),
]
_ACTION = {
    "channel": "email",
    "cost": 0.1,
    "discount": 0.1,
    "text": {"en": "Happy birthday: 10 % off", "zh": "生日快乐：九折优惠"},
    "rule": "recency_days <= 365",
    "repeat_after_days": 300,
    "effect": {"on": "propensity", "times": 1.2},
}
_CATALOGUE = {
    "margin": 0.4,
    "holdout_share": 0.05,
    "exploration_share": 0.05,
    "actions": [
        {"name": "birthday_coupon"} | _ACTION,
        {"name": "reminder", "channel": "app", "cost": 0.01, "effect": {"on": "propensity", "times": 1.1}},
    ],
}
CatalogueContent = Annotated[
    dict[str, Any],
    Body(description="The settings of `actions.toml`, as docs/actions.md lists them.", examples=[_CATALOGUE]),
]
ActionContent = Annotated[
    dict[str, Any], Body(description="The settings of an action, without its name.", examples=[_ACTION])
]
Days = Annotated[int, Query(ge=1, le=3650, description="For `sent` and `accepted`.")]
CataloguesDep = Annotated[CountedCatalogues, service(CountedCatalogues)]
Edit = Callable[[own_file.Table], own_file.Table]


@router.get(
    "",
    operation_id="list_actions",
    response_description="The actions in alphabetical order, and warnings.",
    dependencies=[needs(Scope.DECISIONS)],
    responses=responses(503),
)
def catalogue(scorer: ScorerDep, catalogues: CataloguesDep) -> Catalogue:
    """The actions that are declared, how many customers fit each now, and what looks like a mistake."""
    return Catalogue.model_validate(catalogues.describe(load(scorer.home)))


@router.put(
    "",
    operation_id="replace_actions",
    response_description="The new catalogue.",
    dependencies=[needs(Scope.ACTIONS), audits_change("changed the actions")],
    responses=responses(400, 409, 412, 422, 503),
)
def replace_all(content: CatalogueContent, scorer: ScorerDep, if_match: IfMatch = None) -> Catalogue:
    """Replace the whole catalogue, or make the first one: then without `If-Match`.

    Only where `actions.toml` does not exist or is the service's own: a file written by hand stays.
    """
    return _change(scorer.home, lambda _: content, if_match)


@funnels_router.get(
    "/funnel",
    operation_id="read_funnels",
    response_description="The funnel of each action.",
    dependencies=[needs(Scope.DECISIONS)],
    responses=responses(404, 422, 503),
)
def funnels(log: LogDep, days: Days = 30) -> Funnels:
    """For how many customers each action reaches each stage, by the newest run of all customers.

    A preview of all customers counts as such a run. `sent` and `accepted` are of the last `days`, whichever
    run decided.
    """
    return _funnels(log, days, None)


@router.get(
    "/{name}/funnel",
    operation_id="read_funnel",
    response_description="The funnel of the action.",
    dependencies=[needs(Scope.DECISIONS)],
    responses=responses(404, 422, 503),
)
def funnel(name: FunnelName, log: LogDep, days: Days = 30) -> Funnels:
    """For how many customers an action reaches each stage, by the newest run of all customers."""
    return _funnels(log, days, name)


@router.put(
    "/{name}",
    operation_id="put_action",
    response_description="The new catalogue.",
    dependencies=[needs(Scope.ACTIONS), audits_change("changed an action")],
    responses=responses(400, 409, 412, 422, 503),
)
def put(name: ActionName, content: ActionContent, scorer: ScorerDep, if_match: IfMatch = None) -> Catalogue:
    """Add an action to the service's own catalogue, or replace it. Decisions already made stay."""
    return _change(scorer.home, lambda table: own_file.with_action(table, name, content), if_match)


@router.delete(
    "/{name}",
    operation_id="delete_action",
    response_description="The new catalogue.",
    dependencies=[needs(Scope.ACTIONS), audits_change("deleted an action")],
    responses=responses(404, 409, 412, 422, 503),
)
def delete(name: ActionName, scorer: ScorerDep, if_match: IfMatch = None) -> Catalogue:
    """Delete an action from the service's own catalogue. Its decisions and outcomes stay."""
    return _change(scorer.home, lambda table: own_file.without_action(table, name), if_match)


def _funnels(log: DecisionLog, days: int, name: str | None) -> Funnels:
    try:
        return Funnels.model_validate(read(log, days, None if name is None else [name]))
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error


def _change(home: Home, edit: Edit, if_match: str | None) -> Catalogue:
    try:
        actions = own_file.change(home, edit, digest_of(if_match))
    except own_file.ForeignCatalogue as error:
        raise HTTPException(409, str(error)) from error
    except own_file.StaleCatalogue as error:
        raise HTTPException(412, str(error)) from error
    except own_file.InvalidCatalogue as error:
        raise Unprocessable(str(error)) from error
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
    return Catalogue.model_validate(describe(home, actions))
