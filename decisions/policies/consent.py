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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from decisions.catalogue.channels import Channel
from decisions.names.channels import channel_in_chinese
from decisions.reasons import DecisionReason, reason
from features.live.consent_statements import NONE, STATEMENTS, ChannelConsent, ConsentColumns
from records.contacts import SERVICE

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class ConsentCheck:
    """What refuses contacts by a channel.

    Attributes:
        concerns: whether the channel is refused by it.
        refuses: whether a customer refuses by these statements, or each of many customers.
    """

    code: str
    concerns: Callable[[Channel], bool]
    refuses: Callable[[ChannelConsent | ConsentColumns], bool | Mask]


# Comparisons and & and | alone, so that they apply to moments and to columns of moments.
CHECKS = (
    ConsentCheck("marked_as_spam", lambda _: True, lambda c: (c.spam > 0) & (c.spam >= c.subscribed)),
    ConsentCheck(
        "bounced",
        lambda _: True,
        lambda c: (c.bounced > 0) & (c.bounced >= c.subscribed) & (c.bounced >= c.reached),
    ),
    ConsentCheck(
        "unsubscribed",
        lambda channel: channel.purpose != SERVICE,
        lambda c: (c.unsubscribed > 0) & (c.unsubscribed >= c.subscribed) & (c.unsubscribed >= c.withdrawn),
    ),
    ConsentCheck(
        "not_subscribed",
        lambda channel: channel.purpose != SERVICE and channel.consent == "required",
        lambda c: (c.subscribed <= c.unsubscribed) | (c.subscribed <= c.withdrawn),
    ),
)


def refusal(name: str, channel: Channel, consents: Mapping[str, ChannelConsent]) -> DecisionReason | None:
    """Why a customer must not be contacted by a channel; None if they may be.

    Args:
        name: of the channel. consents: of the customer, by channel.
    """
    consent = consents.get(name, NONE)
    for check in CHECKS:
        if check.concerns(channel) and check.refuses(consent):
            return reason(check.code, channel={"en": name, "zh": channel_in_chinese(name)})
    return None


def permitted(name: str, channel: Channel, statements: pa.Table, keys: NDArray[np.int64]) -> Mask:
    """Which customers may be contacted by a channel, as :func:`refusal` says of each.

    Args:
        name: of the channel.
        statements: of all customers, see :func:`features.live.consent_statements.of_everybody`.
        keys: the customers, ascending.
    """
    checks = [check for check in CHECKS if check.concerns(channel)]
    of_channel = statements.filter(pc.equal(statements["channel"], name))
    columns = ConsentColumns(*(of_channel[statement].to_numpy() for statement in STATEMENTS))
    stated = np.asarray(of_channel["customer_key"])
    refused = np.zeros(len(stated), bool)
    for check in checks:
        refused |= check.refuses(columns)
    result = np.full(len(keys), not any(check.refuses(NONE) for check in checks))
    places = np.searchsorted(keys, stated)
    known = places < len(keys)
    known[known] = keys[places[known]] == stated[known]
    result[places[known]] = ~refused[known]
    return result
