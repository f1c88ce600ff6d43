"""Events without FastAPI's routing and dependencies, which take as long as the events of a small batch."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import PatronError
from serving.events.intake import Intake
from serving.events.routes import admission, router
from serving.http import problems
from serving.http.metrics import Metrics
from serving.http.services import Services
from serving.scores.scorer import Scorer


class EventsEndpoint:
    """ASGI middleware within authentication: calls the routes of events, which FastAPI describes."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app, self.services = app, services
        self.routes = {route.path: route for route in router.routes if isinstance(route, APIRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request with events; pass every other one on."""
        route = self.routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        scope["route"] = route  # for the log, the metrics, and the kind of a single event
        request, services = Request(scope, receive), self.services
        try:
            admit = await admission(request)
            taken = await route.endpoint(
                request, admit, services[Scorer], services[Intake], services[Metrics]
            )
        except (HTTPException, PatronError) as error:
            await problems.refusal(error, scope["path"])(scope, receive, send)
            return
        body = taken.model_dump_json().encode()
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
