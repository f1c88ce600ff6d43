"""The audiences of a home with their sizes, their values and whom each channel reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from core.errors import NothingThere
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
from decisions.everybody import Everybody, load_everybody
from decisions.policies.reach import ChannelReach
from decisions.rules.tree import Rule, Term, terms
from decisions.rules.writing import text_of

CLV = Term("clv", "float64", is_score=True)


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

    def load(self, home: Home, read: Iterable[Term] = ()) -> Everybody | None:
        """What the audiences, and these terms, read of all customers; None before the first build."""
        wanted = [CLV, *read]
        for rule in (*self.rules.values(), *(self.reach.rules.values() if self.reach else ())):
            wanted += terms(rule)
        try:
            return load_everybody(home, wanted)
        except NothingThere:
            return None

    def listing(self, everybody: Everybody | None) -> list[dict[str, Any]]:
        """Each audience with its size, its value and its reach by channel.

        The value is the sum of clv; None before all customers were scored.
        """
        inside = {} if everybody is None else everybody.matching(self.rules)
        reached = self.reach.of(everybody) if self.reach and everybody is not None else {}
        clv = None
        if everybody is not None and CLV.name not in everybody.unscored:
            clv = np.asarray(everybody.table[CLV.name].fill_null(0.0), float)
        rows = []
        for name, audience in self.audiences.items():
            size = int(np.count_nonzero(inside[name])) if inside else None
            counts = {c: int(np.count_nonzero(inside[name] & mask)) for c, mask in reached.items()}
            shares = {c: round(count / size, 6) for c, count in counts.items()} if size else {}
            rows.append(
                {
                    "name": name,
                    "rule": text_of(audience.rule),
                    "text": dict(audience.text),
                    "digest": digest_of(audience),
                    "saved": name in self.saved,
                    "customers": size,
                    "clv": None if clv is None else round(float(np.nansum(clv[inside[name]])), 2),
                    "reach": counts or None,
                    "reach_share": shares or None,
                }
            )
        return rows


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
    everybody = sizes.load(home)
    return {
        "as_of": None if everybody is None else everybody.as_of.isoformat(),
        "customers": None if everybody is None else len(everybody.keys),
        "audiences": sizes.listing(everybody),
    }
