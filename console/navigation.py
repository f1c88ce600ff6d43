"""The pages by group in the order of the menu, their changes and their files."""

from __future__ import annotations

from collections.abc import Mapping

from console.changes import ConsoleChange
from console.page import ConsoleFile, ConsolePage
from console.pages import (
    access,
    action,
    actions,
    customer,
    customers,
    data,
    features,
    model_changes,
    model_versions,
    models,
    monitoring,
    overview,
    results,
)
from console.pages.groups import audiences, cohorts, segments
from console.pages.plans import plan, stored

MENU: Mapping[str, tuple[ConsolePage, ...]] = {
    "": (overview.PAGE,),
    "customers": (
        customers.PAGE,
        customer.PAGE,
        segments.PAGE,
        audiences.PAGE,
        audiences.AUDIENCE_PAGE,
        cohorts.PAGE,
    ),
    "marketing": (
        actions.PAGE,
        action.PAGE,
        plan.PAGE,
        stored.PAGE,
        results.PAGE,
    ),
    "science": (
        models.PAGE,
        model_versions.PAGE,
        monitoring.PAGE,
        features.PAGE,
        features.FEATURE_PAGE,
    ),
    "operation": (
        data.PAGE,
        access.PAGE,
    ),
}
"""The pages by the group of the menu; the message ``menu.GROUP`` is its heading. The first has none."""
PAGES: tuple[ConsolePage, ...] = tuple(page for pages in MENU.values() for page in pages)

CHANGES: tuple[ConsoleChange, ...] = (
    *customers.CHANGES,
    *audiences.CHANGES,
    *model_changes.CHANGES,
    *action.CHANGES,
    *plan.CHANGES,
    *stored.CHANGES,
    *access.CHANGES,
)
FILES: tuple[ConsoleFile, ...] = (
    *audiences.FILES,
    *monitoring.FILES,
    *stored.FILES,
)
