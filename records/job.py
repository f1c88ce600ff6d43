"""A background job: its request, its status, and how its execution ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias

from core.errors import PatronError

COMMAND, SERVICE = "command", "service"
"""The origins of a job."""
Segment: TypeAlias = str | tuple[str, ...] | None
"""A filter of customers: ``FEATURE:VALUE``, or several of which all apply; None for everybody."""


class JobRunning(PatronError):
    """Another job of the kind is running."""


class Interrupted(Exception):
    """Raised inside ``JobStore.execute`` to leave a job interrupted, to be resumed."""


class Stopped(Exception):
    """Raised inside ``JobStore.execute`` to end a job for good."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The fields of every kind of job.

    Attributes:
        status: ``running``, ``done``, ``failed`` (``error`` says why), ``stopped`` by a request, or
            ``interrupted``: its process ended, and it can be resumed.
        at: the moment of creation by the shop's clock. order: the same by the machine's clock, in
            nanoseconds.
        segment: its customers, such as ``country:DE``, or several such filters, of which all apply; None for
            everybody.
        origin: ``command``, or ``service``, which resumes its own jobs when it starts.
        caller: the name of the API key that created it; None without keys.
        total: the number of customers. done: how many of them are done.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "running"
    error: str | None = None
    at: datetime
    order: int = field(default_factory=time.time_ns)
    segment: Segment
    origin: str
    caller: str | None
    total: int = 0
    done: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields of ``job.json``; ``done`` is recorded with the results."""
        fields = asdict(self) | {"at": self.at.isoformat()}
        del fields["done"]
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The job of a ``job.json``."""
        segment = fields["segment"]
        return cls(
            **dict(fields)
            | {
                "at": datetime.fromisoformat(fields["at"]),
                "segment": tuple(segment) if isinstance(segment, list) else segment,
            }
        )


def segment_of(filters: Sequence[str] | str | None) -> Segment:
    """The segment of these filters, in alphabetical order and each once; equal ones are one segment.

    >>> segment_of(["country:DE", "country:DE"]), segment_of(["b:1", "a:1"]), segment_of([])
    ('country:DE', ('a:1', 'b:1'), None)
    """
    names = (filters,) if isinstance(filters, str) else tuple(sorted(set(filters or ())))
    return names if len(names) > 1 else next(iter(names), None)


def filters_of(segment: Segment) -> list[str]:
    """The filters of a segment, of which all apply; none for everybody."""
    if segment is None:
        return []
    return [segment] if isinstance(segment, str) else list(segment)
