"""The report of a benchmark: a table for people, then one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One measure, of this project and of its peer and limit in the same run.

    Attributes:
        ours, peer, limit: the measured values in ``unit``; None if there is no peer or limit.
        unit: of all three values, such as "ms" or "requests/s".
        better: whether a higher or a lower value is the better one.
    """

    ours: float
    unit: str
    peer: float | None = None
    limit: float | None = None
    better: Literal["higher", "lower"] = "lower"

    @property
    def ratio_to_peer(self) -> float | None:
        """How many times better than the peer; above 1 is better."""
        return self._times_better(self.ours, self.peer)

    @property
    def ratio_to_limit(self) -> float | None:
        """How many times the limit's cost; 1 is the limit itself."""
        return None if self.limit is None else self._times_better(self.limit, self.ours)

    def _times_better(self, one: float, other: float | None) -> float | None:
        """How many times ``one`` is better than ``other``; None if that is not a number."""
        if other is None:
            return None
        over, under = (one, other) if self.better == "higher" else (other, one)
        return over / under if under else None


def publish(benchmark: str, results: Mapping[str, Result]) -> None:
    """Print the table and then, as the last line, one JSON object."""
    table = Table(title=benchmark, title_justify="left")
    for heading in ("measure", "unit", "better"):
        table.add_column(heading)
    for heading in ("ours", "peer", "limit", "times better than peer", "times the limit"):
        table.add_column(heading, justify="right")
    for name, r in results.items():
        numbers = (r.ours, r.peer, r.limit, r.ratio_to_peer, r.ratio_to_limit)
        table.add_row(name, r.unit, r.better, *(_short(number) for number in numbers))
    Console(width=120).print(table)
    print(json.dumps({"benchmark": benchmark, "results": {n: _plain(r) for n, r in results.items()}}))


def _plain(result: Result) -> dict[str, float | str | None]:
    return {
        "ours": result.ours,
        "unit": result.unit,
        "peer": result.peer,
        "limit": result.limit,
        "ratio_to_peer": result.ratio_to_peer,
        "ratio_to_limit": result.ratio_to_limit,
    }


def _short(number: float | None) -> str:
    """Four significant digits; a dash for a missing value."""
    return "–" if number is None else f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
