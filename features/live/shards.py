"""Shards: several refreshers share a shop by customer, each with files of its own in the home.

A customer belongs to the shard of ``customer_key % count``. Keys are dense, so shards are of equal size; the
lake's buckets divide customers by their keys too, so a shard reads few of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from core import files
from core.errors import PatronError
from core.home import Home

MAX_SHARDS = 64
_NAME = re.compile(r"([1-9]\d?)/([1-9]\d?)")
_LOCK = re.compile(r"\d+-of-(\d+)\.lock")


@dataclass(frozen=True, order=True)
class Shard:
    """A share of the customers: number ``number``, from 1, of ``count``. The only one is all of them."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that is named ``2/4``.

        Raises:
            PatronError: it is no shard.
        """
        match = _NAME.fullmatch(text)
        shard = cls(*map(int, match.groups())) if match else None
        if shard is None or shard.number > shard.count or shard.count > MAX_SHARDS:
            raise PatronError(
                f"--shard: {text[:20]!r} is no shard; it takes NUMBER/COUNT, such as 2/4, up to {MAX_SHARDS}"
            )
        return shard

    @property
    def is_first(self) -> bool:
        """Whether it also builds, compacts and delivers."""
        return self.number == 1

    @property
    def name(self) -> str:
        """The name, ``2/4``."""
        return f"{self.number}/{self.count}"

    @property
    def command(self) -> str:
        """The command that starts its refresher."""
        return "patron refresh" if self.count == 1 else f"patron refresh --shard {self.name}"

    def owns(self, customer_key: int) -> bool:
        """Whether a customer belongs to it."""
        return customer_key % self.count == self.number - 1

    def lease_file(self, home: Home) -> Path:
        """Locked by the process that works for the shard; contains its number, for people."""
        return self._file(home, home.path / "refresher.lock", "lock")

    def progress_file(self, home: Home) -> Path:
        """JSON: how far the shard is."""
        return self._file(home, home.refreshed, "progress.json")

    def heartbeat_file(self, home: Home) -> Path:
        """JSON: the last heartbeat of the shard."""
        return self._file(home, home.path / "refresher.json", "heartbeat.json")

    def _file(self, home: Home, of_only_one: Path, kind: str) -> Path:
        if self.count == 1:
            return of_only_one
        return home.refreshers / f"{self.number}-of-{self.count}.{kind}"


def shards_of(count: int) -> list[Shard]:
    """All shards of a division."""
    return [Shard(number, count) for number in range(1, count + 1)]


@dataclass(frozen=True)
class Division:
    """How the customers of a home are divided.

    Attributes:
        count: the number of shards.
        covered: the last message that the builds of the first shard include, for the other shards.
    """

    count: int = 1
    covered: int = 0

    @classmethod
    def read(cls, home: Home) -> Division:
        """The division of a home; one shard if there is none that can be read."""
        try:
            return cls(**json.loads(_division_file(home).read_bytes()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, home: Home) -> None:
        """Store it, in one step."""
        home.refreshers.mkdir(exist_ok=True)
        files.replace(_division_file(home), json.dumps({"count": self.count, "covered": self.covered}))

    @property
    def shards(self) -> list[Shard]:
        """Its shards."""
        return shards_of(self.count)


def leases(home: Home) -> list[tuple[Path, int]]:
    """The lease files of all divisions that a home ever had, each with the number of its shards."""
    of_several = ((path, _LOCK.fullmatch(path.name)) for path in sorted(home.refreshers.glob("*.lock")))
    return [
        (Shard().lease_file(home), 1),
        *((path, int(match.group(1))) for path, match in of_several if match),
    ]


def _division_file(home: Home) -> Path:
    return home.refreshers / "division.json"
