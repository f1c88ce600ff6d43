"""Drawing the holdout anew."""

from __future__ import annotations

from core.errors import PatronError
from core.home import Home
from records.decisions import DecisionLog
from records.results import holdout


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
