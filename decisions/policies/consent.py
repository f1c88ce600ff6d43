"""Consent: whom a channel may contact, by what customers said; no action can override it.

Of two statements about a channel the later one is valid; at the same moment the refusal is.

| statement | refuses |
|---|---|
| marked as spam, and not subscribed since | every message of the channel |
| bounced, and neither reached nor subscribed since | every message of the channel |
| unsubscribed, and not subscribed since | marketing |
| never subscribed, or withdrawn since | marketing of a channel with ``consent = "required"`` |
"""

from __future__ import annotations

from collections.abc import Mapping

from decisions.catalogue.channels import Channel
from decisions.names.channels import channel_in_chinese
from decisions.reasons import DecisionReason, reason
from features.live.consents import NONE, ChannelConsent
from records.contacts import SERVICE


def refusal(name: str, channel: Channel, consents: Mapping[str, ChannelConsent]) -> DecisionReason | None:
    """Why a customer must not be contacted by a channel; None if they may be.

    Args:
        name: of the channel. consents: of the customer, by channel.
    """
    code = _code(channel, consents.get(name, NONE))
    return None if code is None else reason(code, channel={"en": name, "zh": channel_in_chinese(name)})


def _code(channel: Channel, consent: ChannelConsent) -> str | None:
    if consent.spam and consent.spam >= consent.subscribed:
        return "marked_as_spam"
    if consent.bounced and consent.bounced >= max(consent.subscribed, consent.reached):
        return "bounced"
    if channel.purpose == SERVICE:
        return None
    if consent.unsubscribed and consent.unsubscribed >= max(consent.subscribed, consent.withdrawn):
        return "unsubscribed"
    if channel.consent == "required" and consent.subscribed <= max(consent.unsubscribed, consent.withdrawn):
        return "not_subscribed"
    return None
