"""The models of this shop: one file each, one line here."""

from __future__ import annotations

from features.errors import PatronError
from models.churn import churn
from models.clv import clv
from models.propensity import propensity
from models.spec import CustomerModel

MODELS: dict[str, CustomerModel] = {model.name: model for model in (churn, propensity, clv)}

BESIDE = ("products", "feedback")
"""Models that answer otherwise than with a score of a customer; they are trained by name."""


def find(name: str) -> CustomerModel:
    """The model of that name.

    Raises:
        PatronError: there is none; the text says which there are.
    """
    if name not in MODELS:
        raise PatronError(f"there is no model {name!r}; there are {', '.join(MODELS)} (or all)")
    return MODELS[name]
