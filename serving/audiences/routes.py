"""Audiences: size, value and reach, their customers, and changes of the saved ones."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, HTTPException, Path, Query, Response
from pydantic import Field

from core.errors import NothingThere
from decisions.catalogue import saved_audiences
from decisions.catalogue.audience_sizes import list_audiences
from serving.access.audit import audits_change, audits_look
from serving.access.authentication import Caller, CallerDep, needs
from serving.access.scopes import Scope
from serving.audiences.members import SCORES, AudienceTable, members
from serving.audiences.reach import CurrentReach, ReachDep
from serving.audiences.schemas import (
    AudienceContent,
    AudienceList,
    AudienceMember,
    AudienceMembers,
    AudienceSize,
    MembersQuery,
)
from serving.files import tables
from serving.files.streaming import stream_file
from serving.http.cursors import Cursor
from serving.http.params import digest_of
from serving.http.problems import Unprocessable, responses
from serving.scores.dependencies import ScorerDep
from serving.scores.scorer import Scorer

router = APIRouter(prefix="/v1/audiences", tags=["segments"])
# No coroutines: they read and write files, so each runs in a thread.
AudienceName = Annotated[
    str, Path(pattern=r"^[a-z0-9_]+$", max_length=50, description="A code.", examples=["active"])
]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=100,
        description="The `digest` of the audience that is changed; none for a new one.",
        examples=['"4cdd9bba"'],
    ),
]


class MembersCursor(Cursor):
    """In the customers of an audience: the key after which the page begins."""

    audience: str
    after_key: int = Field(ge=0, lt=2**63)


@router.get(
    "",
    operation_id="list_audiences",
    response_description="The audiences of `actions.toml`, then the saved ones.",
    dependencies=[needs(Scope.SEGMENTS)],
    responses=responses(503),
)
def audiences(scorer: ScorerDep, reach: ReachDep) -> AudienceList:
    """The named rules, each with its size, its value and whom each channel reaches.

    Other rules use one as `in audience NAME`, also the `rule` of a run.
    """
    return AudienceList.model_validate(list_audiences(scorer.home, source=reach))


@router.get(
    "/{name}",
    operation_id="read_audience",
    response_description="The audience.",
    dependencies=[needs(Scope.SEGMENTS)],
    responses=responses(404, 422, 503),
)
def read(name: AudienceName, scorer: ScorerDep, reach: ReachDep) -> AudienceSize:
    """An audience with its size, its value and whom each channel reaches."""
    return _size(scorer, reach, name)


@router.put(
    "/{name}",
    operation_id="put_audience",
    response_description="The audience as it is saved.",
    dependencies=[needs(Scope.ACTIONS), audits_change("saved an audience")],
    responses=responses(400, 409, 412, 422, 503),
)
def put(
    name: AudienceName,
    content: AudienceContent,
    scorer: ScorerDep,
    reach: ReachDep,
    if_match: IfMatch = None,
) -> AudienceSize:
    """Save an audience, or change one.

    One that `actions.toml` declares is changed there. Decisions by actions whose rules do not name it stay.
    """
    try:
        saved_audiences.put(scorer.home, name, content.model_dump(), digest_of(if_match))
    except saved_audiences.DeclaredAudience as error:
        raise HTTPException(409, str(error)) from error
    except saved_audiences.StaleAudience as error:
        raise HTTPException(412, str(error)) from error
    except saved_audiences.InvalidAudience as error:
        raise Unprocessable(str(error)) from error
    return _size(scorer, reach, name)


@router.delete(
    "/{name}",
    status_code=204,
    operation_id="delete_audience",
    response_description="The audience is deleted.",
    dependencies=[needs(Scope.ACTIONS), audits_change("deleted an audience")],
    responses=responses(404, 409, 412, 422, 503),
)
def delete(name: AudienceName, scorer: ScorerDep, if_match: IfMatch = None) -> None:
    """Delete a saved audience that no rule names."""
    try:
        saved_audiences.delete(scorer.home, name, digest_of(if_match))
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
    except (saved_audiences.DeclaredAudience, saved_audiences.UsedAudience) as error:
        raise HTTPException(409, str(error)) from error
    except saved_audiences.StaleAudience as error:
        raise HTTPException(412, str(error)) from error


@router.get(
    "/{name}/customers",
    operation_id="list_audience_customers",
    response_model=AudienceMembers,
    response_description="A page of customers as JSON, or all of them from the cursor on as a file.",
    dependencies=[needs(Scope.CUSTOMERS), audits_look("listed customers")],
    responses={
        200: {
            "content": {
                kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in tables.MEDIA_TYPES.values()
            }
        },
        **responses(404, 422, 503),
    },
)
def customers(
    name: AudienceName, query: Annotated[MembersQuery, Query()], scorer: ScorerDep, caller: CallerDep
) -> AudienceMembers | Response:
    """The customers of an audience as of the last build, with their segments and newest scores."""
    try:
        table = members(scorer.home, name)
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
    first, hidden = _first(table, name, query.cursor), _hidden(caller)
    if query.format != "json":
        parts = table.tables(scorer.identity, first, hidden)
        chunks = tables.encoded(parts, query.format, scorer.shop.time_zone)
        return stream_file(chunks, tables.MEDIA_TYPES[query.format], f"audience-{name}.{query.format}")
    end = first + query.limit
    more = end < len(table.keys)
    return AudienceMembers(
        as_of=table.as_of,
        total=len(table.keys),
        customers=[AudienceMember(**row) for row in table.rows(scorer.identity, first, query.limit, hidden)],
        next_cursor=MembersCursor(audience=name, after_key=int(table.keys[end - 1])).text() if more else None,
    )


def _size(scorer: Scorer, reach: CurrentReach, name: str) -> AudienceSize:
    try:
        listed = list_audiences(scorer.home, name, reach)
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
    return AudienceSize.model_validate(listed["audiences"][0])


def _first(table: AudienceTable, name: str, cursor: str | None) -> int:
    if cursor is None:
        return 0
    position = MembersCursor.read(cursor)
    if position.audience != name:
        raise Unprocessable("cursor: it is of another audience")
    return int(np.searchsorted(table.keys, position.after_key, side="right"))


def _hidden(caller: Caller) -> frozenset[str]:
    """The columns that the caller's scopes do not include."""
    return frozenset() if caller.may(Scope.SCORES) else frozenset(SCORES)
