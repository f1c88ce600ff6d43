"""The channel of a message: web, app, server, or what the message says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.segment.values import text

_CHANNELS = {"browser": "web", "mobile": "app"}
_LIBRARIES = {
    "web": ("analytics.js", "javascript", "web"),
    "app": ("ios", "android", "swift", "kotlin", "flutter", "react-native", "unity", "xamarin"),
}


def channel_of(message: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """The channel that a message names; without one, the channel of the library or device that sent it."""
    if own := text(properties, "channel") or text(message, "channel"):
        return _CHANNELS.get(own, own)
    context = message.get("context")
    if not isinstance(context, dict):
        return None
    library = context.get("library")
    sender = str(library.get("name") or "").lower() if isinstance(library, dict) else ""
    for channel, parts in _LIBRARIES.items():
        if any(part in sender for part in parts):
            return channel
    if context.get("userAgent"):
        return "web"
    return "app" if context.get("device") else "server" if sender else None
