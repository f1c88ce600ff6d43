"""The pages in the order of the menu, their changes and their files."""

from __future__ import annotations

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
    model_versions,
    models,
    monitoring,
    overview,
    results,
)
from console.pages.groups import audiences, cohorts, segments
from console.pages.plans import plan, stored

PAGES: tuple[ConsolePage, ...] = (
    overview.PAGE,
    customers.PAGE,
    customer.PAGE,
    segments.PAGE,
    audiences.PAGE,
    audiences.AUDIENCE_PAGE,
    cohorts.PAGE,
    actions.PAGE,
    action.PAGE,
    plan.PAGE,
    stored.PAGE,
    results.PAGE,
    models.PAGE,
    model_versions.PAGE,
    monitoring.PAGE,
    data.PAGE,
    features.PAGE,
    features.FEATURE_PAGE,
    access.PAGE,
)

CHANGES: tuple[ConsoleChange, ...] = (
    *audiences.CHANGES,
    *model_versions.CHANGES,
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
