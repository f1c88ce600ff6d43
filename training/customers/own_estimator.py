"""A user's estimator in place of Patron's."""

from __future__ import annotations

from dataclasses import replace

from models.estimator import Fitted
from models.estimators.own.definition import Definition, read_definition
from models.estimators.own.estimator import OwnEstimator
from models.estimators.own.fitted import FittedOwn
from models.estimators.own.stored import NOT_SERVABLE
from models.spec import CustomerModel


def usable_definition(text: str) -> Definition:
    """The definition that a user wrote, after its estimator was made once.

    Raises:
        PatronError: the definition is not understood, or the estimator cannot be made.
    """
    definition = read_definition(text)
    definition.make()
    return definition


def with_own_estimator(model: CustomerModel, definition: str) -> CustomerModel:
    """The model with the estimator that a user names.

    Args:
        definition: see :mod:`models.estimators.own.definition`.

    Raises:
        PatronError: the definition is not understood, or the estimator cannot be made.
    """
    named = usable_definition(definition)  # fails before anything is computed
    estimator = OwnEstimator(named.call, model.kind, named.file)
    own = replace(model, estimator=lambda: estimator)
    if model.complement_of is None:
        return own
    return replace(own, complement_of=replace(model.complement_of, estimator=lambda: estimator))


def not_servable_because(fitted: Fitted) -> tuple[str, ...]:
    """Why a fitted estimator is for batches only, as the reason of a failed gate; empty if it is servable."""
    if not isinstance(fitted, FittedOwn) or fitted.file is None or not fitted.needs_own_file:
        return ()
    return (
        f"{NOT_SERVABLE}: the estimator has classes of {fitted.file.name}, so cannot be stored without that"
        " code, which the service does not run; score batches with `patron score --version`",
    )
