"""The quality of leads by channel and source: predicted and actual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from events.schema import Events, visible
from features.group import KEYS
from features.groups.profile import latest
from models.measures.metrics import wilson_interval

UNKNOWN = "not known"
MIN_PROSPECTS = 30  # of an origin, for a lift to be shown
SOURCE = "source"  # the trait with the origin within a channel: a campaign, a partner, a page


@dataclass(frozen=True)
class LeadQuality:
    """The prospects of one origin.

    Attributes:
        by: the kind of origin, such as ``acquisition_channel``; ``of``: its value.
        predicted: the mean probability of a first order within the horizon.
        actual: the share who placed one, between ``low`` and ``high`` with 95 % confidence.
        lift: ``actual`` over that of all prospects; None if there are too few prospects or outcomes.
    """

    by: str
    of: str
    prospects: int
    predicted: float
    actual: float
    low: float
    high: float
    lift: float | None


def by_origin(frame: pd.DataFrame, by: Sequence[str]) -> tuple[LeadQuality, ...]:
    """The quality of prospects by each of some columns; within each, the most promising first.

    Args:
        frame: a row per prospect: ``score``, ``label`` (0 or 1), and the columns ``by``; a missing value
            is an origin of its own.
    """
    overall = float(frame["label"].mean()) if len(frame) else 0.0
    rows_of_all = []
    for column in by:
        origin = frame[column].astype(object).where(frame[column].notna(), UNKNOWN)
        rows = [_quality(column, str(of), part, overall) for of, part in frame.groupby(origin)]
        rows_of_all += sorted(rows, key=lambda row: (-row.predicted, row.of))
    return tuple(rows_of_all)


def _quality(by: str, of: str, part: pd.DataFrame, overall: float) -> LeadQuality:
    outcome = part["label"].to_numpy(np.float64)
    actual = float(outcome.mean())
    low, high = wilson_interval(int(outcome.sum()), len(outcome))
    lift = actual / overall if overall and len(outcome) >= MIN_PROSPECTS else None
    return LeadQuality(by, of, len(outcome), float(part["score"].mean()), actual, low, high, lift)


def sources(events: Events, population: ir.Table) -> ir.Table:
    """The last known trait ``source`` of each (customer_key, as_of) of the population; null if missing."""
    traits = latest(visible(events.traits, population))
    known = traits.filter(traits.name == SOURCE).select(*KEYS, source=traits.value)
    who = population.select(*KEYS)
    joined = who.left_join(known, KEYS)
    return joined.select(*(who[key] for key in KEYS), joined.source)


def table(rows: Sequence[LeadQuality]) -> str:
    """The rows as text, a line each."""
    lines = [f"{'origin':<34}{'prospects':>10}{'predicted':>11}{'actual':>9}{'95 %':>18}{'lift':>7}"]
    for row in rows:
        lift = "too few" if row.lift is None else f"{row.lift:.2f}"
        between = f"{row.low:.1%} to {row.high:.1%}"
        lines.append(
            f"{f'{row.by} {row.of}'[:33]:<34}{row.prospects:>10,}{row.predicted:>11.1%}"
            f"{row.actual:>9.1%}{between:>18}{lift:>8}"
        )
    return "\n".join(lines)
