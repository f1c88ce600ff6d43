"""Trains every model for which a shop's data suffice."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial

from core.errors import PatronError
from core.home import Home
from core.progress import Progress
from features.workspace import Workspace
from models.questions import MODELS, OPTIONAL
from models.registry.registry import Registry
from models.registry.versions import ModelVersion
from models.spec import CustomerModel
from training.categories.pipeline import train_categories
from training.customers.horizon import with_horizon
from training.customers.pipeline import train
from training.products.pipeline import learn_ranking, publish_ranking, train_products
from training.worker_process import computing

OF_ORDERS: Mapping[str, Callable[[Home, Registry, Progress], ModelVersion]] = {
    "products": train_products,
    "category_propensity": train_categories,
}
"""The training functions of the models that use orders only, without the feature store; by name."""


def train_all(
    home: Home, horizon: int | None, progress: Progress, usable: Collection[str] = ()
) -> tuple[list[ModelVersion], dict[str, str]]:
    """Rebuild the features, and train every model for which the shop's data suffice, but not ``usable`` ones.

    Returns: the versions, and by name why each other model was left out.

    Raises:
        PatronError: no model can be trained; the message has the reason of each.
    """
    home.shop()  # fails before anything is created where there is no shop
    trained, left_out = [], {}
    with ExitStack() as stack:
        registry = Registry(home)
        trainings: dict[str, Callable[[], ModelVersion]] = {
            name: partial(train, home, registry, progress) for name, train in OF_ORDERS.items()
        }
        if "products" not in usable and (os.cpu_count() or 1) > 1:
            # It takes as long as the models of customers, and does not depend on them.
            ranking = stack.enter_context(computing(learn_ranking, home))

            def publish_products() -> ModelVersion:
                progress("products: waiting for the ranking", 0.9)
                return publish_ranking(ranking(), registry)

            trainings["products"] = publish_products
        workspace = Workspace.build(home, progress)

        def train_customers(model: CustomerModel) -> ModelVersion:
            return train(workspace, with_horizon(model, horizon), registry, progress)

        of_customers = {name: partial(train_customers, model) for name, model in (MODELS | OPTIONAL).items()}
        for name, training in (of_customers | trainings).items():
            if name in usable:
                continue
            try:
                trained.append(training())
            except PatronError as error:
                left_out[name] = str(error)
    if not trained and not usable:
        raise PatronError("no model can be trained:\n" + "\n".join(left_out.values()))
    return trained, left_out
