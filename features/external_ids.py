"""The keys by which Feast's views and the score log name customers."""

from __future__ import annotations

from collections.abc import Sequence

from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity


def customer_keys(customer_ids: Sequence[str], home: Home | None = None) -> dict[str, int]:
    """The key of each customer by external id, in the given order; unknown ids are left out.

    Args:
        home: the home; by default the one of ``PATRON_HOME``.

    Raises:
        PatronError: the database cannot be read.
    """
    known = Identity(home or FeatureSettings().open_home()).keys(list(customer_ids))
    return {customer_id: known[customer_id] for customer_id in customer_ids if customer_id in known}
