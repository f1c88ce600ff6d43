"""Errors as RFC 9457 problem documents: what is wrong, where, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from core.errors import PatronError, StoreUnavailable
from core.logging_setup import REQUEST_ID
from serving.http.client_paths import ALIASES, CLIENT_PATHS

RETRY_AFTER_S = "2"  # a store that is back is used again within a few seconds


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["customer_ids: List should have at most 1000 items after validation"])
    request_id: str = Field(
        description="The same as the header `X-Request-ID`, and as in the service's log.",
        examples=["9f2c1e0b7a4d4f6f8c3b5a6d7e8f9012"],
    )


class ClientProblem(Problem):
    """A problem with the field that clients of the Segment specification display."""

    code: str = Field(examples=["bad_request"])
    message: str = Field(description="The same as ``detail``.")


class Unprocessable(PatronError):
    """The request is valid but cannot be fulfilled; the message says why."""


class ProblemResponse(JSONResponse):
    """JSON of the media type ``application/problem+json``."""

    media_type = "application/problem+json"


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, path: str = ""
) -> ProblemResponse:
    """A problem document as a response to a request of ``path``."""
    title = HTTPStatus(status).phrase
    document = Problem(title=title, status=status, detail=detail, request_id=REQUEST_ID.get() or "")
    if path in CLIENT_PATHS:
        code = title.lower().replace(" ", "_")
        document = ClientProblem(**document.model_dump(), code=code, message=detail)
    return ProblemResponse(document.model_dump(), status, headers)


def refusal(error: HTTPException | PatronError, path: str = "") -> ProblemResponse:
    """The problem document of an error of a route."""
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), error.headers, path)
    if isinstance(error, Unprocessable):
        return problem(422, str(error), path=path)
    retry = {"Retry-After": RETRY_AFTER_S} if isinstance(error, StoreUnavailable) else None
    return problem(503, str(error), retry, path)


_MEANINGS = {
    400: "The body cannot be parsed: it is not JSON, incomplete, or of another structure.",
    401: "The key is missing, wrong, revoked or expired.",
    403: "The key lacks the scope of this route.",
    404: "The resource does not exist.",
    409: "The request conflicts with the present state; the text says why.",
    412: "The resource has changed since it was read; the text has its present version.",
    413: "The body is too large.",
    415: "The route does not accept the body's media type or encoding.",
    422: "The request is well-formed, but a value is invalid; the text says which.",
    429: "The key has reached its request limit; `Retry-After` is the number of seconds to wait.",
    503: "A store is unavailable or still empty; the text says which.",
}
_HEADERS = {
    "X-Request-ID": {
        "description": "The request's own id, if it is 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`;"
        " else a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Server-Timing": {
        "description": "Milliseconds of each stage of the request, and in total.",
        "schema": {"type": "string"},
    },
}


def responses(*statuses: int, kind: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the problems a route can answer with."""
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


def leads_to(operation_id: str, field: str, meaning: str, within: str = "") -> dict[str, Any]:
    """The OpenAPI link from a field of the response to a parameter of another operation.

    Args:
        within: the JSON pointer of what has the field; by default the body itself.
    """
    parameters = {field: f"$response.body#{within}/{field}"}
    return {
        "links": {
            operation_id: {"operationId": operation_id, "parameters": parameters, "description": meaning}
        }
    }


def _status_and_detail(error: RequestValidationError) -> tuple[int, str]:
    """Status and detail of a validation error; never repeats the sent values."""
    errors = error.errors()
    if any(e["type"] == "json_invalid" for e in errors):
        where = errors[0].get("ctx", {}).get("error", "")
        return 400, f"the body is not JSON: {where}"
    parts = []
    for e in errors[:5]:
        # For an unknown field, the last part of the location is its name, which the client sent.
        places = e["loc"][:-1] if e["type"] == "extra_forbidden" else e["loc"]
        where = ".".join(str(part) for part in places if part != "body") or "body"
        parts.append(f"{where}: {e['msg']}")
    if len(errors) > 5:
        parts.append(f"and {len(errors) - 5} more")
    return 422, "; ".join(parts)


def _describe(operation: dict[str, Any], path: str) -> None:
    """Add the error responses that all operations of its kind have."""
    guarded = (401, 403, 429, 503) if "security" in operation else ()
    large = (413,) if "requestBody" in operation and path not in CLIENT_PATHS else ()
    kind = ClientProblem if path in CLIENT_PATHS else Problem
    for status, response in responses(*guarded, *large, kind=kind).items():
        operation["responses"].setdefault(str(status), response)
    for response in operation["responses"].values():
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}


def _methods(app: FastAPI, path: str) -> set[str]:
    """The methods that a path accepts."""
    path = ALIASES.get(path, path)
    return {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }


def install(app: FastAPI) -> None:
    """Return every error of the application as a problem document, and document those of all routes."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = plain()
        for kind in (Problem, ClientProblem):
            schema["components"]["schemas"][kind.__name__] = kind.model_json_schema()
        schema["components"]["headers"] = _HEADERS
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _describe(operation, path)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(*_status_and_detail(error), path=request.url.path)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return refusal(error, request.url.path)
        # The router lists the methods of one route only.
        allowed = {"Allow": ", ".join(sorted(_methods(app, request.url.path)))}
        headers = dict(error.headers or {}) | allowed
        return problem(error.status_code, str(error.detail), headers, request.url.path)

    @app.exception_handler(PatronError)
    async def failed(request: Request, error: PatronError) -> JSONResponse:
        return refusal(error, request.url.path)
