"""The traits of a message, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from events.segment.values import LONGEST_TEXT, Unfit, json_text

_DEEPEST = 5
_CAMPAIGN = ("name", "source", "medium", "term", "content")


def trait_rows(head: Sequence[int], prefix: str, traits: Mapping[str, Any]) -> list[list[Any]]:
    """The rows of traits, those of an object as ``address.city``; null clears a trait.

    Args:
        head: the values that each of a message's rows begins with.

    Raises:
        Unfit: a name is too long.
    """
    named = dict(_flat(prefix, traits, _DEEPEST))
    if any(len(name) > LONGEST_TEXT for name in named):
        raise Unfit(f"the name of a trait is longer than {LONGEST_TEXT} characters")
    return [[*head, name, value] for name, value in named.items()]


def _flat(prefix: str, traits: Mapping[str, Any], deep: int) -> Iterator[tuple[str, str | None]]:
    for name, value in traits.items():
        if isinstance(value, dict) and deep:
            yield from _flat(f"{prefix}{name}.", value, deep - 1)
        elif value is None or isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json_text(value)


def campaign_rows(head: Sequence[int], message: Mapping[str, Any]) -> list[list[Any]]:
    """The traits ``campaign.source`` and the like, of the campaign that brought a customer."""
    context = message.get("context")
    campaign = context.get("campaign") if isinstance(context, dict) else None
    if not isinstance(campaign, dict):
        return []
    texts = {name: campaign.get(name) for name in _CAMPAIGN}
    return [
        [*head, f"campaign.{name}", text]
        for name, text in texts.items()
        if isinstance(text, str) and 0 < len(text) <= LONGEST_TEXT
    ]
