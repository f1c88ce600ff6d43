"""The lasting holdout: customers who get no marketing, for as long as its effect is measured.

Each customer has a draw, a uniform number from a keyed hash of the customer's number, and belongs to the
holdout while the draw is below the share. The key is derived from the home's salt and the number of the
rotation, so the draw is independent of the exploration's draws and of the calendar. A larger share adds
customers to the holdout and moves nobody out of it. Only another rotation draws anew.

A customer is enrolled at the first decision of a rotation, with the draw stored. Another id does not change a
customer's number. When two customers turn out to be one person, the person keeps the draw of the one who was
enrolled on the earlier day; if both were enrolled on one day, that of the customer who remains. The choice
depends on days only and not on the draws, so the share stays what it is.

A service message, such as a notice of delivery, is no marketing: the holdout gets it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from core.calendar import day_of, midnight
from core.errors import PatronError
from core.home import Home
from core.storage.database import WriteRows
from decisions.catalogue.actions import Actions
from decisions.draws import uniform
from events.identity import Identity, Merge
from records.decisions import DecisionLog
from records.results import holdout
from records.results.holdout import Enrolment, HoldoutPhase


def draw(salt: bytes, rotation: int, customer_key: int) -> float:
    """A customer's draw: uniform in [0, 1).

    Args:
        salt: the home's salt, 16 to 64 bytes.
    """
    key = hashlib.blake2b(f"holdout {rotation}".encode(), key=salt, digest_size=32).digest()
    return uniform(key, customer_key)


def declare(log: DecisionLog, actions: Actions, now: datetime, zone: str) -> None:
    """Store the declared share, if it changed; it holds from ``holdout_start`` on, but never for the past.

    Args:
        now: by the shop's clock. zone: the shop's time zone.
    """
    start = now if actions.holdout_start is None else midnight(actions.holdout_start, zone)
    holdout.declare(log, actions.lasting_holdout_share, start, now)


def rotate(home: Home) -> int:
    """Draw the holdout of a home anew from now on; returns the number of the new draw.

    Raises:
        PatronError: there is no holdout.
    """
    with DecisionLog(home) as log:
        phase = holdout.rotate(log, home.shop().now())
    if phase is None:
        raise PatronError("there is no holdout to draw anew; set holdout_share in actions.toml")
    return phase.rotation


@dataclass(frozen=True)
class HoldoutMembership:
    """Who of some customers is in the holdout of a moment.

    Attributes:
        held_out: the keys of those who are.
        rotation: the number of the draw.
        new: the enrolments of customers who had none; they are stored with the first decision.
    """

    held_out: frozenset[int] = frozenset()
    rotation: int = 0
    new: tuple[Enrolment, ...] = ()

    @property
    def enrol(self) -> WriteRows:
        """Stores the new enrolments in a transaction of the decision log."""
        return partial(holdout.enrol, rotation=self.rotation, new=self.new)


def membership(
    log: DecisionLog, identity: Identity, keys: Sequence[int], now: datetime, zone: str
) -> HoldoutMembership:
    """Who of some customers is in the holdout; nothing is written.

    Args:
        now: by the shop's clock. zone: the shop's time zone.
    """
    phase = holdout.current(log, now)
    if phase is None or phase.share == 0:
        return HoldoutMembership()
    merged = by_survivor(identity.merges(keys))
    known = holdout.enrolled(log, keys, merged, phase.rotation)
    day = day_of(now, zone)
    new = [Enrolment(key, now, day, draw(log.salt, phase.rotation, key)) for key in keys if key not in known]
    draws = {enrolment.customer_key: enrolment.draw for enrolment in (*known.values(), *new)}
    held_out = frozenset(key for key, value in draws.items() if value < phase.share)
    return HoldoutMembership(held_out, phase.rotation, tuple(new))


def by_survivor(merges: Iterable[Merge]) -> dict[int, list[int]]:
    """The keys of the customers who were merged into a customer, by that customer's key."""
    merged = defaultdict(list)
    for merge in merges:
        merged[merge.into].append(merge.customer_key)
    return dict(merged)


def survivors(merges: Sequence[Merge]) -> dict[int, int]:
    """The key under which a merged customer's events are now, by the customer's key."""
    gone = {merge.customer_key for merge in merges}
    return {merge.customer_key: merge.into for merge in merges if merge.into not in gone}


def shares_since(phases: Sequence[HoldoutPhase], enrolment: Enrolment) -> tuple[float, float]:
    """The smallest and the largest share since a customer was enrolled.

    A draw below the smallest was in the holdout all the time, one from the largest on never. Customers in
    between moved when the share changed; they are not compared.

    Args:
        phases: of the customer's rotation, in order, without phases that have not started.
    """
    later = [phase.share for phase in phases if phase.at > enrolment.at]
    before = [phase.share for phase in phases if phase.at <= enrolment.at][-1:]
    shares = [*before, *later]
    return min(shares), max(shares)
