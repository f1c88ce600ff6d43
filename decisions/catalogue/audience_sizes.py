"""The audiences of a home with their sizes, their values and whom each channel reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from core.errors import NothingThere, StoreUnavailable
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.audiences import Audience
from decisions.catalogue.saved_audiences import (
    audience_rules,
    digest_of,
    every_audience,
    load_declared,
    load_saved,
    validated,
)
from decisions.everybody import EverybodyFiles, RuleCounts, find_everybody
from decisions.policies.reach import ChannelReach, ReachedCustomers, ReachSource, reach_now
from decisions.rules.tree import Rule, Term, terms
from decisions.rules.writing import text_of

CLV = Term("clv", "float64", is_score=True)
MAX_COUNTED = 16
"""Results of counts in memory: the audiences of a page, and rules that are being typed."""


@dataclass(frozen=True)
class AudienceSizes:
    """The audiences of a home, to be counted.

    Attributes:
        rules: by name, with the rules of the audiences that they name.
        saved: the names of those that requests saved. reach: whom channels reach; None without actions.
        source: knows whom they reach.
    """

    audiences: Mapping[str, Audience]
    rules: Mapping[str, Rule]
    saved: frozenset[str]
    reach: ChannelReach | None
    source: ReachSource = reach_now

    @classmethod
    def of(cls, home: Home, actions: Actions | None, source: ReachSource = reach_now) -> Self:
        """All audiences of a home.

        Raises:
            PatronError: the saved audiences cannot be used.
        """
        audiences = every_audience(home, actions)
        saved = load_saved(home)
        return cls(
            audiences,
            audience_rules(home, actions),
            frozenset(name for name in audiences if audiences[name] == saved.get(name)),
            None if actions is None else ChannelReach(home, actions),
            source,
        )

    def find(self, home: Home, read: Iterable[Term] = ()) -> EverybodyFiles | None:
        """The files that the audiences, and these terms, read; None before the first build."""
        try:
            return find_everybody(home, {term.name for term in (*self.terms(), *read) if term.is_score})
        except NothingThere:
            return None

    def terms(self) -> set[Term]:
        """What the audiences and their reach read."""
        reach = () if self.reach is None else self.reach.rules.values()
        return {CLV}.union(*(terms(rule) for rule in (*self.rules.values(), *reach)))

    def listing(self, files: EverybodyFiles | None) -> list[dict[str, Any]]:
        """Each audience with its size, its value and its reach by channel.

        The value is the sum of clv; None before all customers were scored. The reach is None while the
        database is unavailable, and before it was counted the first time.
        """
        counts: dict[str, RuleCounts] = {}
        reached = None
        if files is not None:
            reached = self._reached(files)
            counted = _count(files, tuple(self.rules.items()), reached)
            counts = dict(zip(self.rules, counted, strict=True))
        scored = files is not None and dict(files.jobs).get(CLV.name) is not None
        as_of = None if reached is None else reached.at.isoformat()
        return [self._row(name, counts.get(name), scored) | {"reach_as_of": as_of} for name in self.audiences]

    def _reached(self, files: EverybodyFiles) -> ReachedCustomers | None:
        try:
            return None if self.reach is None else self.source(files, self.reach)
        except StoreUnavailable:  # sizes and values need no database
            return None

    def _row(self, name: str, counts: RuleCounts | None, scored: bool) -> dict[str, Any]:
        audience, size = self.audiences[name], counts and counts.customers
        reach = dict(counts.shared) if counts else {}
        shares = {channel: round(count / size, 6) for channel, count in reach.items()} if size else {}
        return {
            "name": name,
            "rule": text_of(audience.rule),
            "text": dict(audience.text),
            "digest": digest_of(audience),
            "saved": name in self.saved,
            "customers": size,
            "clv": round(counts.value, 2) if counts and scored else None,
            "reach": reach or None,
            "reach_share": shares or None,
        }


@lru_cache(maxsize=MAX_COUNTED)
def _count(
    files: EverybodyFiles, rules: tuple[tuple[str, Rule], ...], reached: ReachedCustomers | None
) -> Sequence[RuleCounts]:
    everybody = files.load({CLV}.union(*(terms(rule) for _, rule in rules)))
    channels = {} if reached is None else reached.among(everybody.keys)
    return everybody.counts(dict(rules), channels, CLV.name)


def list_audiences(home: Home, name: str | None = None, source: ReachSource = reach_now) -> dict[str, Any]:
    """The audiences of a home, or one of them, with their customers as of the last build.

    Args:
        source: knows whom channels reach.

    Raises:
        NothingThere: there is no such audience.
        PatronError: ``actions.toml`` or ``audiences.toml`` cannot be used.
    """
    sizes = AudienceSizes.of(home, load_declared(home), source)
    if name is not None:
        if name not in sizes.audiences:
            raise NothingThere("there is no such audience")
        one = {name: sizes.audiences[name]}
        sizes = replace(sizes, audiences=one, rules={name: sizes.rules[name]})
    return _listed(home, sizes)


def size_of(home: Home, content: Mapping[str, Any], source: ReachSource = reach_now) -> dict[str, Any]:
    """An audience that is not saved, as :func:`list_audiences` lists one; its name is empty.

    Args:
        content: ``rule``, and ``text`` by language. source: knows whom channels reach.

    Raises:
        InvalidAudience: the rule is none; the message says why.
        PatronError: ``actions.toml`` or ``audiences.toml`` cannot be used.
    """
    actions = load_declared(home)
    audience, rule = validated(home, actions, content)
    sizes = AudienceSizes.of(home, actions, source)
    return _listed(home, replace(sizes, audiences={"": audience}, rules={"": rule}, saved=frozenset()))


def _listed(home: Home, sizes: AudienceSizes) -> dict[str, Any]:
    files = sizes.find(home)
    return {
        "as_of": None if files is None else files.as_of.isoformat(),
        "customers": None if files is None else files.customers,
        "audiences": sizes.listing(files),
    }
