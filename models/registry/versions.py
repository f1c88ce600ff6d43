"""The registry's data types: versions, training runs and promotions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import NothingThere

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROMOTED, ROLLED_BACK = "promoted", "rolled back"
TRAINED_TAG, TABLE_TAG = "as_of", "table"
_JSON_KEYS = {"failed_gates": "refusals", "not_promoted_because": "held_back"}


class NoChampion(NothingThere):
    """A model has no champion; the message says why."""


SAMPLE_SHARE = "sample_share"
"""The metric of a model that was trained on a sample of the customers: their share."""


@dataclass(frozen=True)
class ModelVersion:
    """A published version of a model.

    Attributes:
        failed_gates: a message for each gate that it failed; empty if it passed all.
        not_promoted_because: why training did not promote it although it passed its gates; empty otherwise.
        trained: the shop's moment of training, ISO 8601 in UTC; empty if not recorded.
    """

    name: str
    version: str
    run_id: str
    failed_gates: tuple[str, ...]
    metrics: Mapping[str, float]
    champion: bool = False
    trained: str = ""
    not_promoted_because: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The version as the command line prints it in JSON."""
        return {_JSON_KEYS.get(name, name): value for name, value in vars(self).items()}


@dataclass(frozen=True)
class TrainingRun:
    """The record of a training run besides its bundle; ``texts`` by file name."""

    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """A change of the champion.

    Attributes:
        when: the shop's moment, ISO 8601 in UTC.
        before: the previous champion; None if there was none.
        after: the new champion.
        how: ``promoted`` or ``rolled back``.
        forced: whether ``after`` was promoted although it failed gates.
    """

    when: str
    who: str
    why: str
    before: str | None
    after: str
    how: str = PROMOTED
    forced: bool = False

    def to_json(self) -> str:
        """One line of JSON, as a tag holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Promotion:
        """Parse the result of :meth:`to_json`."""
        return cls(**json.loads(text))

    @property
    def words(self) -> str:
        """The promotion as a line of text."""
        since = f"version {self.before} to version {self.after}" if self.before else f"version {self.after}"
        how = f"{self.how}, against its gates," if self.forced else self.how
        return f"{self.when[:16].replace('T', ' ')} UTC  {since} {how} by {self.who}: {self.why}"


def earlier(moves: Sequence[Promotion], champion: str | None, there: Collection[str]) -> str | None:
    """The version to roll back to: the one promoted before the champion; None if there is none.

    Promotions form a stack: a promotion pushes a version and a rollback pops it, so two rollbacks undo two
    promotions instead of alternating.

    Args:
        moves: all promotions, the oldest first.
        champion: the present champion.
        there: the versions that still exist; others are skipped.
    """
    stack: list[str] = []
    for move in moves:
        if move.how == ROLLED_BACK and move.after in stack:
            del stack[len(stack) - stack[::-1].index(move.after) :]
            continue
        for version in (move.before, move.after):
            if version is not None and stack[-1:] != [version]:
                stack.append(version)
    if stack and stack[-1] == champion:
        stack.pop()
    return next((v for v in reversed(stack) if v in there and v != champion), None)


def why_none(name: str, versions: Sequence[ModelVersion]) -> str:
    """Why a model has no champion, and what to do."""
    if not versions:
        return f"{name} has no champion: it was never trained; run `patron train {name}`"
    newest = versions[0]
    if newest.failed_gates:
        gate = newest.failed_gates[0]
        return f"{name} has no champion: version {newest.version} did not pass its gates: {gate}"
    return f"{name} has no champion: no version is promoted; run `patron train {name}`"
