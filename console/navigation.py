"""The pages in the order of the menu."""

from __future__ import annotations

from console.page import ConsolePage
from console.pages import customer, customers, overview

PAGES: tuple[ConsolePage, ...] = (
    overview.PAGE,
    customers.PAGE,
    customer.PAGE,
)
