"""The audiences of a home with their sizes, their values and whom each channel reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from decisions.everybody import EverybodyFiles, Mask, RuleCounts, find_everybody
from decisions.policies.reach import ChannelReach
from decisions.rules.tree import Rule, Term, terms
from decisions.rules.writing import text_of

CLV = Term("clv", "float64", is_score=True)
MAX_AT_ONCE = 100_000
"""Customers of a shop whose audiences are counted anew for each request, with the newest statements."""
PERIOD_S = 300
"""Seconds for which a larger shop's counts are reused, since what everybody said takes a second to read."""


@dataclass(frozen=True)
class AudienceSizes:
    """The audiences of a home, to be counted.

    Attributes:
        rules: by name, with the rules of the audiences that they name.
        saved: the names of those that requests saved. reach: whom channels reach; None without actions.
    """

    audiences: Mapping[str, Audience]
    rules: Mapping[str, Rule]
    saved: frozenset[str]
    reach: ChannelReach | None

    @classmethod
    def of(cls, home: Home, actions: Actions | None) -> Self:
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
        database is unavailable.
        """
        counts: dict[str, RuleCounts] = {}
        if files is not None:
            counts = dict(zip(self.rules, self._counts(files), strict=True))
        scored = files is not None and dict(files.jobs).get(CLV.name) is not None
        return [self._row(name, counts.get(name), scored) for name in self.audiences]

    def _counts(self, files: EverybodyFiles) -> Sequence[RuleCounts]:
        rules = tuple(self.rules.items())
        try:
            if self.reach is None or files.customers <= MAX_AT_ONCE:
                return _count(files, rules, self.reach)
            period = int(self.reach.home.shop().now().timestamp() // PERIOD_S)
            return _count_large(_LargeCount(files, rules, self.reach.actions.digest, period, self.reach))
        except StoreUnavailable:  # sizes and values need no database
            return _count(files, rules, None)

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


NamedRules = tuple[tuple[str, Rule], ...]


@dataclass(frozen=True)
class _LargeCount:
    """The audiences of a large shop in a period, to be counted once."""

    files: EverybodyFiles
    rules: NamedRules
    actions_digest: str
    period: int
    reach: ChannelReach = field(compare=False)


@lru_cache(maxsize=64)
def _count_large(large: _LargeCount) -> Sequence[RuleCounts]:
    for_reach = replace(large, rules=(), files=replace(large.files, jobs=()))  # which reads no scores
    return _count(large.files, large.rules, large.reach, _reached_large(for_reach))


@lru_cache(maxsize=2)
def _reached_large(large: _LargeCount) -> Mapping[str, Mask]:
    return _reached(large.files, large.reach)


def _reached(files: EverybodyFiles, reach: ChannelReach) -> Mapping[str, Mask]:
    return reach.of(files.load(term for rule in reach.rules.values() for term in terms(rule)))


def _count(
    files: EverybodyFiles,
    rules: NamedRules,
    reach: ChannelReach | None,
    reached: Mapping[str, Mask] | None = None,
) -> Sequence[RuleCounts]:
    if reached is None:
        reached = {} if reach is None else _reached(files, reach)
    everybody = files.load({CLV}.union(*(terms(rule) for _, rule in rules)))
    return everybody.counts(dict(rules), reached, CLV.name)


def list_audiences(home: Home, name: str | None = None) -> dict[str, Any]:
    """The audiences of a home, or one of them, with their customers as of the last build.

    Raises:
        NothingThere: there is no such audience.
        PatronError: ``actions.toml`` or ``audiences.toml`` cannot be used.
    """
    sizes = AudienceSizes.of(home, load_declared(home))
    if name is not None:
        if name not in sizes.audiences:
            raise NothingThere("there is no such audience")
        one = {name: sizes.audiences[name]}
        sizes = AudienceSizes(one, {name: sizes.rules[name]}, sizes.saved, sizes.reach)
    return _listed(home, sizes)


def size_of(home: Home, content: Mapping[str, Any]) -> dict[str, Any]:
    """An audience that is not saved, as :func:`list_audiences` lists one; its name is empty.

    Args:
        content: ``rule``, and ``text`` by language.

    Raises:
        InvalidAudience: the rule is none; the message says why.
        PatronError: ``actions.toml`` or ``audiences.toml`` cannot be used.
    """
    actions = load_declared(home)
    audience, rule = validated(home, actions, content)
    sizes = AudienceSizes.of(home, actions)
    return _listed(home, AudienceSizes({"": audience}, {"": rule}, frozenset(), sizes.reach))


def _listed(home: Home, sizes: AudienceSizes) -> dict[str, Any]:
    files = sizes.find(home)
    return {
        "as_of": None if files is None else files.as_of.isoformat(),
        "customers": None if files is None else files.customers,
        "audiences": sizes.listing(files),
    }
