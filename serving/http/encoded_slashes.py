"""Routes that tell a slash of an id, written %2F, from the slashes of the path.

A server hands paths over decoded. The id ``x/timeline`` would then be read as the timeline of ``x``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

_SLASH = "\udc2f"  # half of a character, which no decoded path contains


class CustomerRoute(APIRoute):
    """A route whose ``{customer_id:path}`` is matched against the path as it was sent."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route is the request's, and the parameters of its path."""
        raw = scope.get("raw_path") or b""
        if b"%2f" not in raw and b"%2F" not in raw:
            return super().matches(scope)
        path = _SLASH.join(unquote(part) for part in raw.decode("latin-1").replace("%2f", "%2F").split("%2F"))
        match, child = super().matches({**scope, "path": path})
        parameters: dict[str, Any] = child.get("path_params", {})
        child_parameters = {
            name: value.replace(_SLASH, "/") if isinstance(value, str) else value
            for name, value in parameters.items()
        }
        return match, {**child, "path_params": child_parameters} if parameters else child
