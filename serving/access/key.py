"""An API key, and the checks of its terms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from core.errors import PatronError
from serving.access.scopes import Scope

MARK = "patron_"  # the start of every key, by which people and secret scanners recognise one
MAX_NAME_LENGTH = 60
MAX_PER_MINUTE = 1_000_000
_SPAN = re.compile("([0-9]{1,5})([dh])")


@dataclass(frozen=True)
class Key:
    """A key without its secret.

    Attributes:
        prefix: its first characters, which identify it.
        created, revoked: wall time in UTC, as all moments here; revoked is None for a valid key.
        expires: the moment from which it is invalid; None if never.
        replaced: the moment when another key took its name; it stays valid until it expires.
        per_minute: the maximum number of requests a minute; None for the service's own limit.
    """

    name: str
    prefix: str
    scopes: tuple[str, ...]
    created: datetime
    revoked: datetime | None = None
    expires: datetime | None = None
    replaced: datetime | None = None
    per_minute: int | None = None

    def lives(self, now: datetime) -> bool:
        """Whether it is valid."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def state(self, now: datetime) -> str:
        """``revoked``, ``expired``, ``replaced`` (but still valid), or ``current``."""
        if self.revoked:
            return "revoked"
        if not self.lives(now):
            return "expired"
        return "replaced" if self.replaced else "current"

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """The key for JSON, moments as ISO 8601."""
        fields = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }
        return fields | {"state": self.state(now)}

    def line(self, now: datetime) -> str:
        """The key in a line of a list."""
        until = "" if self.expires is None else f"{self.expires:%Y-%m-%d %H:%M}"
        state = {
            "revoked": f", revoked {self.revoked:%Y-%m-%d %H:%M}" if self.revoked else "",
            "expired": f", expired {until}",
            "replaced": f", replaced, works until {until}",
            "current": until and f", expires {until}",
        }[self.state(now)]
        rate = f", {self.per_minute} a minute" if self.per_minute else ""
        scopes = ",".join(self.scopes)
        return (
            f"{self.prefix}  {self.name:<20}  {scopes:<28}  made {self.created:%Y-%m-%d %H:%M}{rate}{state}"
        )


def name_of(name: str) -> str:
    """The name without space around it, checked."""
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise PatronError(f"a key's name must have 1 to {MAX_NAME_LENGTH} printable characters")
    if name.startswith(MARK):
        raise PatronError(f"a key's name must not begin with {MARK}, as keys do")
    return name


def scopes_of(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in the order of :class:`Scope`, each once."""
    names = {scope.strip() for scope in scopes} - {""}
    if unknown := sorted(names - set(Scope)):
        raise PatronError(f"there is no scope {unknown[0]!r}; there are {', '.join(Scope)}")
    if not names:
        raise PatronError(f"name the key's scopes: {', '.join(Scope)}")
    return tuple(scope.value for scope in Scope if scope in names)


def rate_of(per_minute: int | None) -> int | None:
    """The requests a minute, checked; None for the service's own limit."""
    if per_minute is not None and not 1 <= per_minute <= MAX_PER_MINUTE:
        raise PatronError(f"a key's limit is 1 to {MAX_PER_MINUTE:,} requests a minute")
    return per_minute


def span(text: str) -> timedelta:
    """A time span such as ``90d`` or ``24h``."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise PatronError(f"{text[:20]!r} is not a time span; write days or hours, such as 90d or 24h")
    return int(match[1]) * (timedelta(days=1) if match[2] == "d" else timedelta(hours=1))
