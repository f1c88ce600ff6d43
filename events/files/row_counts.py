"""What an import did with every row: rows read = rows accepted + rows rejected, by reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RowCounts:
    """The counts of one import.

    Attributes:
        read: rows in the file.
        accepted: rows that became events, by table.
        rejected: rows that did not, by reason.
        notes: further counts, such as columns that the mapping ignores.
        format: what was read, in words, such as ``text in gb18030, cells separated by ;``.
        readings: what was read otherwise than it stands there, in words.

    Raises:
        AssertionError: the counts do not add up.
    """

    read: int
    accepted: dict[str, int]
    rejected: dict[str, int]
    notes: dict[str, int] = field(default_factory=dict)
    format: str = ""
    readings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        total = sum(self.accepted.values()) + sum(self.rejected.values())
        if total != self.read:
            raise AssertionError(f"{self.read} rows read but {total} accounted for")

    def as_dict(self) -> dict[str, Any]:
        """The counts under the keys of ``import.json``."""
        return {
            "read": self.read, "kept": self.accepted, "set_aside": self.rejected, "notes": self.notes,
            "format": self.format, "readings": list(self.readings),
        }  # fmt: skip

    def reasons(self) -> str:
        """The counts of rejected rows by reason, in words."""
        return in_words(self.rejected)


def in_words(rejected: dict[str, int]) -> str:
    """Counts by reason, in words."""
    return ", ".join(f"{reason.replace('_', ' ')}: {count:,}" for reason, count in rejected.items())
