"""The metadata of a version of the lake: the content of ``events/import.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.calendar import date_of


@dataclass(frozen=True)
class LakeMetadata:
    """The metadata of one version of the lake.

    Attributes:
        source: a built-in mapping, ``mapping``, ``simulate`` or ``live``.
        version: the name of its folder.
        before: the name of the previous version, whose folder still exists; None for the first.
        compacted_seq: the last number of the journal whose events the version contains.
        forgotten_seq: the last number whose messages may have been deleted from the journal.
        generation: a digest of the imported or simulated events; snapshots are stored under it.
        orders: the number of orders.
        first_day: the first day on which an order was known; None without orders.
        last_day: the last day of an order or refund; None without orders.
        arrived: the number of events that compactions added since the import.
        digests: of the imported files and their mappings.
        plan: the simulation's, with ``start`` as text; None for other sources.
        simulated_day: the day up to which the shop is simulated.
        last_key: the greatest customer key of the version's events; None where an earlier release wrote it.
        record: the whole content of the file, including the counts of the last import.
    """

    source: str
    version: str
    before: str | None
    compacted_seq: int
    forgotten_seq: int
    generation: str
    orders: int
    first_day: int | None
    last_day: int | None
    arrived: int
    digests: tuple[str, ...]
    plan: Mapping[str, Any] | None
    simulated_day: int | None
    last_key: int | None
    record: dict[str, Any]

    @classmethod
    def parse(cls, record: dict[str, Any]) -> LakeMetadata:
        """The metadata in the content of the file.

        Raises:
            KeyError: a field is missing.
        """
        compacted_seq: int = record["compacted_seq"]
        return cls(
            source=record["source"],
            version=record["version"],
            before=record["before"],
            compacted_seq=compacted_seq,
            # Earlier releases let it exceed compacted_seq after an older database was restored.
            forgotten_seq=min(record["forgotten_seq"], compacted_seq),
            generation=record["generation"],
            orders=record["orders"],
            first_day=record["first_day"],
            last_day=record["last_day"],
            arrived=record.get("arrived", 0),
            digests=tuple(record.get("digests", ())),
            plan=record.get("plan"),
            simulated_day=record.get("simulated_day"),
            last_key=record.get("last_key"),
            record=record,
        )

    @property
    def clock_day(self) -> int | None:
        """The last plausible day of the imported events; in homes without this field, the last day."""
        day: int | None = self.record.get("clock_day", self.last_day)
        return day

    @property
    def first_date(self) -> date | None:
        """``first_day`` as a date."""
        return None if self.first_day is None else date_of(self.first_day)

    @property
    def last_date(self) -> date | None:
        """``last_day`` as a date."""
        return None if self.last_day is None else date_of(self.last_day)
