"""The paths of the routes that receive events, which client libraries know.

They differ from other routes in their problem documents and the limit of their bodies, and other origins may
reach them.
"""

from __future__ import annotations

from events.segment.translate import KINDS

ALIASES = {
    "/v1/t": "/v1/track",
    "/v1/p": "/v1/page",
    "/v1/i": "/v1/identify",
    "/v1/s": "/v1/screen",
    "/v1/g": "/v1/group",
    "/v1/a": "/v1/alias",
    "/v1/b": "/v1/batch",
    "/b": "/v1/batch",
    "/beacon/v1/batch": "/v1/batch",
}
"""Further paths of a route: those of Segment's browser library, and RudderStack's of beacons."""
DESCRIBED_PATHS = frozenset(f"/v1/{name}" for name in (*KINDS, "batch"))
CLIENT_PATHS = DESCRIBED_PATHS | ALIASES.keys()
