"""Gates shared by all models of a kind."""

from __future__ import annotations

from collections.abc import Mapping

from models.spec import Gate

_RANKED = "no part of the customers may be ranked surely worse than by chance"
_TRUE = "no part of the customers may surely be so many times further off than all"
LEVEL_EXCESS = 1.5
LEVEL = Gate(
    "level_excess",
    "its totals at the last moments must be near the truth, beyond the shop's own variation",
    at_most=LEVEL_EXCESS,
)
"""See :func:`training.evaluation.levels.level_metrics`."""
WORST_SLICE: Mapping[str, tuple[Gate, ...]] = {
    "probability": (
        Gate("worst_slice_auc", _RANKED, at_least=0.5),
        Gate("worst_slice_level", _TRUE, at_most=2),
    ),
    # A few customers have much of a slice's money.
    "money": (
        Gate("worst_slice_gini", _RANKED, at_least=0),
        Gate("worst_slice_level", _TRUE, at_most=3),
    ),
}
"""The gates by kind of score: see :func:`training.evaluation.worst_slice.worst`."""
