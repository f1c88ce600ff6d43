"""Routes that distinguish a slash in an id, sent as %2F, from the slashes of the path.

A server passes decoded paths on. The id ``x/timeline`` would then be read as the timeline of ``x``. Likewise
a line break, written %0A, would match no route.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

_SLASH, _LINE_BREAK = "\udc2f", "\udc0a"  # lone surrogates, which no decoded path contains
_ENCODED = re.compile(b"%2[fF]|%0[aA]")


class CustomerRoute(APIRoute):
    """A route whose ``{customer_id:path}`` is matched against the path as it was sent."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route is the request's, and the parameters of its path."""
        raw = scope.get("raw_path") or b""
        if _ENCODED.search(raw) is None:
            return super().matches(scope)
        text = raw.decode("latin-1").replace("%2f", "%2F").replace("%2F", _SLASH)
        path = unquote(text.replace("%0a", "%0A").replace("%0A", _LINE_BREAK))
        match, child = super().matches({**scope, "path": path})
        parameters: dict[str, Any] = child.get("path_params", {})
        child_parameters = {
            name: value.replace(_SLASH, "/").replace(_LINE_BREAK, "\n") if isinstance(value, str) else value
            for name, value in parameters.items()
        }
        return match, {**child, "path_params": child_parameters} if parameters else child
