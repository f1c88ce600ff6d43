"""Challenges: a version that is scored in shadow of the champion, or serves a share of the customers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b

from core.errors import PatronError
from models.registry import promotion
from models.registry.registry import Registry

BOUNDS = {"probability": 0.2, "money": 0.5}
"""The maximum deviation of a challenger, by kind of model: see :attr:`Challenge.bound`."""


@dataclass(frozen=True)
class Challenge:
    """A version that challenges the champion.

    Attributes:
        share: the share of the customers that it serves; at 0 it is scored and logged only.
        bound: the deviation from the champion at which it is ended: of the mean score in probability, or of
            the total, as a share of the champion's total.
        since: the shop's moment of its beginning, ISO 8601 in UTC.
        ended: why it ended; empty while it is running.
    """

    version: str
    share: float
    bound: float
    who: str
    since: str
    ended: str = ""

    def to_json(self) -> str:
        """One line of JSON, as a tag holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Challenge:
        """Parse the result of :meth:`to_json`."""
        return cls(**json.loads(text))

    @property
    def words(self) -> str:
        """What the challenger does, or why it ended."""
        if self.ended:
            return f"version {self.version} challenged until {self.ended}"
        role = f"answers {self.share:.0%} of the customers" if self.share else "is scored and answers nobody"
        return f"version {self.version} {role}, since {self.since[:16].replace('T', ' ')} UTC"


def in_challenger_share(model: str, version: str, customer_key: int, share: float) -> bool:
    """Whether a challenger serves a customer: the same ones in every process."""
    digest = blake2b(f"{model}/{version}/{customer_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def begin(
    registry: Registry,
    name: str,
    kind: str,
    version: str,
    share: float,
    bound: float | None = None,
    who: str | None = None,
) -> Challenge:
    """Begin a challenge; it replaces the present challenger, if any.

    Args:
        who: begins it; :func:`models.registry.promotion.user` for None.

    Raises:
        PatronError: there is no such version or no champion, the version is the champion, or a value is
            invalid.
    """
    if not 0 <= share <= 0.5:
        raise PatronError("a challenger answers a share from 0 (nobody) to 0.5 of the customers")
    if bound is not None and not 0 < bound <= 10:
        raise PatronError("the bound is above 0, such as 0.2")
    chosen = promotion.find(registry, name, version)
    if chosen.champion:
        raise PatronError(f"{name} version {version} is the champion; another version can challenge it")
    if not any(each.champion for each in registry.versions(name)):
        raise PatronError(f"{name} has no champion to be challenged; `patron promote` lets a version answer")
    challenge = Challenge(version, share, bound or BOUNDS[kind], who or promotion.user(), registry.moment())
    registry.challenge(name, challenge.to_json(), version)
    return challenge


def last(registry: Registry, name: str) -> Challenge | None:
    """The running challenge of a model, or else the last one; None if there was none."""
    record = registry.challenges([name]).get(name)
    return Challenge.from_json(record) if record else None


def end(registry: Registry, name: str, version: str | None, why: str) -> Challenge | None:
    """End the challenge of a version, or of any if None; returns None if there is nothing to end.

    Raises:
        PatronError: MLflow cannot be reached.
    """
    challenge = last(registry, name)
    if challenge is None or challenge.ended or version not in (None, challenge.version):
        return None
    over = Challenge(**asdict(challenge) | {"ended": f"{registry.moment()}: {why}"})
    registry.challenge(name, over.to_json(), None)
    return over
