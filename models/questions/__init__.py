"""The models about customers, one module each; registered here."""

from __future__ import annotations

from core.errors import PatronError
from models.questions.churn import churn
from models.questions.clv import clv
from models.questions.leads import leads
from models.questions.propensity import propensity
from models.questions.subscription_churn import subscription_churn
from models.spec import CustomerModel

# Every shop with orders can have these; the service explains why one is missing.
MODELS: dict[str, CustomerModel] = {model.name: model for model in (churn, propensity, clv)}
# These need data that some shops lack; the service does not mention them unless they were trained.
OPTIONAL: dict[str, CustomerModel] = {model.name: model for model in (leads, subscription_churn)}


def every() -> dict[str, CustomerModel]:
    """All models by name, optional ones last."""
    return MODELS | OPTIONAL


def find(name: str) -> CustomerModel:
    """The model with that name.

    Raises:
        PatronError: there is none; the message lists the models.
    """
    models = every()
    if name not in models:
        raise PatronError(f"there is no model {name!r}; there are {', '.join(models)} (or all)")
    return models[name]
