"""What actions, channels and groups of actions are called in a language."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import PatronError
from core.home import Home
from decisions.catalogue.file import load
from decisions.catalogue.texts import names_in
from decisions.names import channels
from decisions.reasons import Language


def action_names(home: Home, language: Language) -> Mapping[str, str]:
    """The name of each action for people; empty if there is no readable catalogue."""
    try:
        return names_in(language, load(home).canonical)["action"]
    except PatronError:
        return {}


def channel_name(channel: str, language: Language) -> str:
    """A channel's name for people."""
    return channels.channel_in_chinese(channel) if language == "zh" else channel


def group_name(group: str | None, language: Language) -> str:
    """A group's name for people; empty for none."""
    return "" if group is None else channels.group_in_chinese(group) if language == "zh" else group
