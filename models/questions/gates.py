"""Gates shared by all models of a kind."""

from __future__ import annotations

from collections.abc import Mapping

from models.spec import Gate

_RANKED = "no part of the customers may be ranked surely worse than by chance"
_TRUE = "no part of the customers may surely be so many times further off than all"
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
