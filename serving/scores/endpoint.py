"""Scores without FastAPI's routing, which takes longer than the scores of a customer from their features."""

from __future__ import annotations

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import PatronError
from serving.http import problems
from serving.http.services import Services
from serving.scores.handler import scores_as_json
from serving.scores.routes import router
from serving.scores.schemas import ScoresRequest

_JSON = b"application/json"


class ScoresEndpoint:
    """ASGI middleware within authentication: responds to ``POST /v1/scores``, which FastAPI describes.

    A body that is not valid JSON of the request's model is passed to FastAPI, which says what is wrong.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app, self.services = app, services
        routes = (route for route in router.routes if isinstance(route, APIRoute))
        self.route = next(route for route in routes if route.name == "scores")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request for scores; pass every other one on."""
        if (
            scope["type"] != "http"
            or scope["path"] != self.route.path
            or scope["method"] != "POST"
            or not _has_json(scope)
        ):
            await self.app(scope, receive, send)
            return
        scope["route"] = self.route  # for authentication, the log and the metrics
        try:
            content = await _body(receive)
            try:
                request = ScoresRequest.model_validate_json(content)
            except ValidationError:
                await self.app(scope, _again(content, receive), send)
                return
            response = await scores_as_json(self.services, request)
        except (HTTPException, PatronError) as error:
            await problems.refusal(error, scope["path"])(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(response)), (b"content-type", _JSON)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response})


def _has_json(scope: Scope) -> bool:
    """Whether the body is JSON; FastAPI refuses other media types."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value == _JSON or bytes(value).partition(b";")[0].strip().lower() == _JSON
    return False


async def _body(receive: Receive) -> bytes:
    """The body of a request.

    Raises:
        ClientDisconnect: the client hung up before its end.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(content: bytes, receive: Receive) -> Receive:
    """A channel that repeats a body that was read already."""
    parts = [content]

    async def channel() -> Message:
        return {"type": "http.request", "body": parts.pop()} if parts else await receive()

    return channel
