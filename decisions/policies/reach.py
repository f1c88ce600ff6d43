"""The reach of a channel: the customers whom it may contact for marketing now, all of them at once.

The answer is that of the checks of a decision for one customer (:mod:`decisions.checks`): what customers said
about being contacted, and suppressions of the channel or of all marketing. Contact limits, which end within
days, do not count. Addresses and complaints are those of the last build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.everybody import Everybody, EverybodyFiles, Mask
from decisions.policies import consent, suppression
from decisions.rules.tree import AnyOf, Known, Not, Rule, Term, TermComparison, all_of, terms
from events.identity import Identity, with_merged
from features.groups import features_of
from features.live import consent_statements
from records.contacts import SERVICE
from records.contacts.marketing import read_marketing


@dataclass(frozen=True)
class ChannelReach:
    """Whom each channel of a catalogue reaches: those that it declares, and those of its actions."""

    home: Home
    actions: Actions

    @property
    def settings(self) -> str:
        """What the actions say about it; catalogues with the same reach the same customers."""
        actions = self.actions
        complaints = actions.suppress_open_complaints
        return repr((actions.channels, sorted(actions.channel_names), actions.suppressions, complaints))

    @property
    def rules(self) -> dict[str, Rule]:
        """By channel, what the features of a customer must say: an address where one is declared, no open
        complaint where that suppresses marketing.
        """
        return {
            name: self._rule(name) for name in sorted({*self.actions.channels, *self.actions.channel_names})
        }

    def of(self, everybody: Everybody, now: datetime | None = None) -> dict[str, Mask]:
        """By channel, whether it reaches each customer.

        Args:
            everybody: with the terms of :attr:`rules`.
            now: by the shop's clock; None for the present moment.

        Raises:
            PatronError: the lake or the database cannot be read.
        """
        now = self.home.shop().now() if now is None else now
        masks = everybody.matching(self.rules)
        statements = consent_statements.of_everybody(self.home, now)
        for name in masks:
            masks[name] &= consent.permitted(name, self.actions.channel(name), statements, everybody.keys)
        rules = self.actions.suppressions
        if rules:
            since = now - suppression.longest(rules)
            contacts = read_marketing(self.home, since, suppression.RESPONSES)
            contacts = with_merged(contacts, Identity(self.home).merges())
            for name in masks:
                if self.actions.channel(name).purpose != SERVICE:
                    alone = suppression.left_alone(rules, contacts, now, name)
                    masks[name] &= ~np.isin(everybody.keys, alone)
        return masks

    def _rule(self, name: str) -> Rule:
        channel, known = self.actions.channel(name), features_of(self.home)
        parts: list[Rule] = []
        address = channel.address_feature
        if address is not None and address in known:
            parts.append(Known(Term(address, known[address].dtype)))
        complaints = known.get(suppression.COMPLAINTS)
        if self.actions.suppress_open_complaints and complaints is not None and channel.purpose != SERVICE:
            term = Term(suppression.COMPLAINTS, complaints.dtype)
            none_open = Not(TermComparison(term, ">", (0,)))
            parts.append(AnyOf((Not(Known(term)), none_open)))
        return all_of(parts)


@dataclass(frozen=True, eq=False)
class ReachedCustomers:
    """Whom channels reached at a moment.

    Attributes:
        keys: of all customers, in order. masks: by channel whether it reached each of them.
        at: the moment by the shop's clock.
    """

    keys: NDArray[np.int64]
    masks: Mapping[str, Mask]
    at: datetime

    def among(self, keys: NDArray[np.int64]) -> Mapping[str, Mask]:
        """By channel whether it reached each of these customers; not those who were unknown then."""
        if keys is self.keys or np.array_equal(keys, self.keys):
            return self.masks
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        known = self.keys[places] == keys
        return {channel: mask[places] & known for channel, mask in self.masks.items()}


ReachSource: TypeAlias = Callable[[EverybodyFiles, ChannelReach], ReachedCustomers | None]
"""Whom channels reach, or reached a moment ago; None if that is not known yet."""


def reach_now(files: EverybodyFiles, reach: ChannelReach) -> ReachedCustomers:
    """Whom channels reach at this moment; reads what all customers said about contacts.

    Raises:
        PatronError: a store cannot be read.
    """
    now = reach.home.shop().now()
    everybody = files.load(term for rule in reach.rules.values() for term in terms(rule))
    return ReachedCustomers(everybody.keys, reach.of(everybody, now), now)
