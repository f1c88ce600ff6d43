"""The monthly moments that a customer model is fitted on and tested at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from core.calendar import day_of
from core.errors import PatronError
from features.offline import populations
from models.spec import CustomerModel

MIN_FIT_MOMENTS = 3


@dataclass(frozen=True)
class Split:
    """The monthly moments of a backtest.

    All labels of ``fit`` were known at ``test``, so the test reproduces a training at that moment.

    Attributes:
        fit: the moments that the tested model is fitted on.
        all: the moments with known labels, ``test`` the last; the published model is fitted on them.
    """

    horizon_days: int
    fit: tuple[datetime, ...]
    test: datetime
    all: tuple[datetime, ...]

    def in_time_zone(self, zone: str) -> Split:
        """The same moments in the shop's time zone."""
        local = ZoneInfo(zone)
        fit, moments = (tuple(t.astimezone(local) for t in moments) for moments in (self.fit, self.all))
        return Split(self.horizon_days, fit, self.test.astimezone(local), moments)


def split(
    model: CustomerModel, as_ofs: Sequence[datetime], now: datetime, zone: str,
    customers: Mapping[datetime, int] | None = None,
) -> Split:  # fmt: skip
    """Divide the stored moments by time, at the longest horizon that the history allows.

    A shorter one is taken if the test's fit would have fewer than ``model.minimum_customers``, as in a shop
    that grows fast: with a shorter horizon its moments are later.

    Args:
        customers: the number of customers known at each moment; None if it does not matter.

    Raises:
        PatronError: the history is too short for every horizon; the message says how long it is and must be.
    """
    if not as_ofs:
        raise PatronError(
            f"{model.name} cannot be trained: the history holds no full month after its first"
            f" {populations.HISTORY_DAYS} days; import more of it"
        )
    today = day_of(now, zone)
    possible = None
    for horizon in (model.horizon, *model.shorter_horizons):
        known = [t for t in as_ofs if day_of(t, zone) + horizon.days <= today]
        if known:
            test = known[-1]
            moments = [t for t in known if day_of(t, zone) + horizon.days <= day_of(test, zone)]
            if len(moments) >= MIN_FIT_MOMENTS:
                possible = Split(horizon.days, tuple(moments), test, tuple(known))
                if customers is None or customers[moments[-1]] >= model.minimum_customers:
                    return possible
    if possible is not None:
        return possible
    shortest = min((model.horizon, *model.shorter_horizons)).days
    has = today - day_of(as_ofs[0], zone) + populations.HISTORY_DAYS
    needs = 2 * shortest + populations.HISTORY_DAYS + 31 * MIN_FIT_MOMENTS
    raise PatronError(
        f"{model.name} cannot be trained: a horizon of {shortest} days needs about {needs} days of"
        f" history and there are about {has}; use a shorter --horizon or import more history"
    )
