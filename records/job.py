"""A background job: its request, its status, and how its execution ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from core.errors import PatronError

COMMAND, SERVICE = "command", "service"
"""The origins of a job."""


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
        segment: its customers, such as ``country:DE``; None for everybody.
        origin: ``command``, or ``service``, which resumes its own jobs when it starts.
        caller: the name of the API key that created it; None without keys.
        total: the number of customers. done: how many of them are done.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "running"
    error: str | None = None
    at: datetime
    order: int = field(default_factory=time.time_ns)
    segment: str | None
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
        return cls(**dict(fields) | {"at": datetime.fromisoformat(fields["at"])})
