"""The models of this shop: one file each, one line here."""

from __future__ import annotations

from core.errors import PatronError
from models.questions.churn import churn
from models.questions.clv import clv
from models.questions.leads import leads
from models.questions.propensity import propensity
from models.questions.subscription_churn import subscription_churn
from models.spec import CustomerModel

# Every shop with orders can ask these: where one does not answer, the service says why.
MODELS: dict[str, CustomerModel] = {model.name: model for model in (churn, propensity, clv)}
# These ask for what some shops lack. Where one was never trained, nobody is told that it is absent.
OPTIONAL: dict[str, CustomerModel] = {model.name: model for model in (leads, subscription_churn)}


def every() -> dict[str, CustomerModel]:
    """All models by name, optional ones last."""
    return MODELS | OPTIONAL


def find(name: str) -> CustomerModel:
    """The model of that name.

    Raises:
        PatronError: there is none; the text says which there are.
    """
    models = every()
    if name not in models:
        raise PatronError(f"there is no model {name!r}; there are {', '.join(models)} (or all)")
    return models[name]
