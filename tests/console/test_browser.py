"""The console in headless Chromium: every page in both languages, widths and appearances, and by keyboard."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from console.navigation import PAGES
from console.page import ConsolePage

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js.gz"
SERIOUS = ("serious", "critical")
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}
LOOKS: dict[str, dict[str, Any]] = {
    "laptop, light, English": {"viewport": LAPTOP, "color_scheme": "light", "locale": "en-GB"},
    "laptop, dark, Chinese": {"viewport": LAPTOP, "color_scheme": "dark", "locale": "zh-CN"},
    "phone, light, Chinese": {"viewport": PHONE, "color_scheme": "light", "locale": "zh-CN"},
    "phone, dark, English": {"viewport": PHONE, "color_scheme": "dark", "locale": "en-GB"},
}
FINDINGS = """async () => (await axe.run()).violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html)])"""


@contextmanager
def opened(browser: Browser, address: str, **look: Any) -> Iterator[Page]:
    """A page in a profile of its own. It fails on a message of the browser and on a request to elsewhere."""
    problems: list[str] = []
    # Axe is added to the page by the test, which the page's own policy would refuse.
    with browser.new_context(base_url=address, bypass_csp=True, **look) as context:
        page = context.new_page()
        page.on("console", lambda m: problems.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda r: problems.append(r.url) if urlsplit(r.url).hostname != "127.0.0.1" else None
        )
        yield page
    assert problems == []


def axe(page: Page) -> list[Any]:
    """The serious findings of axe-core."""
    page.evaluate(gzip.decompress(AXE.read_bytes()).decode())
    return [finding for finding in page.evaluate(FINDINGS) if finding[0] in SERIOUS]


@pytest.fixture(scope="module")
def customer(browser: Browser, address: str) -> str:
    """The address of a customer's page."""
    with opened(browser, address) as page:
        page.goto("/console/customers")
        return str(page.locator("td a").first.get_attribute("href"))


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_shown_whole_and_accessible(
    look: str, browser: Browser, address: str, customer: str
) -> None:
    addresses = [f"/console{page.path}" for page in PAGES if page.in_menu] + [customer]
    with opened(browser, address, **LOOKS[look]) as page:
        for path in addresses:
            response = page.goto(path)
            assert response is not None
            assert response.status == 200, path
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, f"{path} is {wide} px too wide"
            assert axe(page) == [], path


def test_the_policy_of_the_pages_permits_what_they_load(browser: Browser, address: str) -> None:
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        messages: list[str] = []
        page.on("console", lambda m: messages.append(m.text))
        page.goto("/console")
        page.wait_for_function("window.htmx")
        assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderStyle") == "solid"
        assert messages == []


def test_customers_are_searched_sorted_and_opened_by_keyboard_alone(browser: Browser, address: str) -> None:
    with opened(browser, address, locale="en-GB") as page:
        page.goto("/console/customers")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#content"  # skips the menu
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "q"
        page.keyboard.press("Tab")
        page.keyboard.type("Revenue at risk")
        page.locator("form.filters button").press("Enter")
        page.wait_for_url("**sort=-revenue_at_risk**")
        link = page.locator("td a").first
        customer_id = link.inner_text()
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/customers/*")
        assert page.locator("h1").inner_text() == customer_id
        assert page.locator(".card .value").count() >= 3


def test_language_and_appearance_are_chosen_and_kept(browser: Browser, address: str) -> None:
    with opened(browser, address, locale="en-GB", color_scheme="light") as page:
        page.goto("/console")
        light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.locator("details.settings summary").click()
        page.select_option("select[name=language]", "zh")
        page.select_option("select[name=theme]", "dark")
        page.locator("details.settings button").click()
        page.wait_for_load_state()
        assert page.locator("h1").inner_text() == "总览"
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
        page.goto("/console/customers")
        assert page.locator("h1").inner_text() == "客户"


def test_a_page_in_the_menu_is_marked(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        entries: list[ConsolePage] = [entry for entry in PAGES if entry.in_menu]
        page.goto(f"/console{entries[1].path}")
        assert page.locator("[aria-current=page]").count() == 1
