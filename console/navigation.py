"""The pages in the order of the menu, their changes and their files."""

from __future__ import annotations

from console.changes import Change
from console.page import ConsoleFile, ConsolePage
from console.pages import (
    cohorts,
    customer,
    customers,
    data,
    features,
    overview,
    results,
    segments,
)

PAGES: tuple[ConsolePage, ...] = (
    overview.PAGE,
    customers.PAGE,
    customer.PAGE,
    segments.PAGE,
    cohorts.PAGE,
    results.PAGE,
    data.PAGE,
    features.PAGE,
    features.FEATURE_PAGE,
)

CHANGES: tuple[Change, ...] = ()
FILES: tuple[ConsoleFile, ...] = ()
