"""What an import did with every row it read: read = kept + set aside, by reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Accounts:
    """The book-keeping of one import.

    Attributes:
        read: rows in the file.
        kept: rows that became events, by the table they went to.
        set_aside: rows that did not, by reason.
        notes: counts worth knowing about the rows kept, such as refunds that match no order.
    """

    read: int
    kept: dict[str, int]
    set_aside: dict[str, int]
    notes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = sum(self.kept.values()) + sum(self.set_aside.values())
        if total != self.read:
            raise AssertionError(f"{self.read} rows read but {total} accounted for")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)
