"""The console in headless Chromium: every page in both languages, widths and appearances, and by keyboard."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from console.navigation import PAGES

AXE = Path(__file__).parents[2] / "vendor" / "axe.min.js.gz"
SERIOUS = ("serious", "critical")
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}
LOOKS: dict[str, Any] = {"light": LAPTOP, "dark": PHONE}
"""The appearances in which axe-core reads a page, and the width of each."""
FINDINGS = "async () => (await axe.run()).violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html)])"
WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def serious_findings(page: Page) -> list[Any]:
    """The serious findings of axe-core, which is in the page."""
    return [finding for finding in page.evaluate(FINDINGS) if finding[0] in SERIOUS]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_every_page_is_shown_whole_and_accessible(language: str, opened: Any, address: str) -> None:
    axe = gzip.decompress(AXE.read_bytes()).decode()
    with opened(address, locale=language, reduced_motion="reduce") as page:  # colours change at once
        page.goto("/console/customers")
        customer = str(page.locator("td a").first.get_attribute("href"))
        for path in [*(f"/console{page.path}" for page in PAGES if page.in_menu), customer]:
            response = page.goto(path)
            assert response is not None
            assert response.status == 200, path
            page.evaluate(axe)
            for scheme, size in LOOKS.items():
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size(size)
                assert page.evaluate(WIDTH) <= 0, f"{path} is too wide for {size['width']} px"
                assert serious_findings(page) == [], (path, scheme)


def test_the_policy_of_the_pages_permits_what_they_load(browser: Browser, address: str) -> None:
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        messages: list[str] = []
        page.on("console", lambda m: messages.append(m.text))
        page.goto("/console")
        page.wait_for_function("window.htmx")
        assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderStyle") == "solid"
        assert messages == []


def test_customers_are_searched_sorted_and_opened_by_keyboard_alone(opened: Any, address: str) -> None:
    with opened(address, locale="en-GB") as page:
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


def test_language_and_appearance_are_chosen_and_kept(opened: Any, address: str) -> None:
    with opened(address, locale="en-GB", color_scheme="light") as page:
        page.goto("/console")
        assert page.locator("[aria-current=page]").count() == 1
        light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.locator("details.settings summary").click()
        page.select_option("select[name=language]", "zh")
        page.select_option("select[name=theme]", "dark")
        page.locator("details.settings button").first.click()
        page.wait_for_load_state()
        assert page.locator("h1").inner_text() == "总览"
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
        page.goto("/console/customers")
        assert page.locator("h1").inner_text() == "客户"
