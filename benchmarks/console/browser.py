"""How long a browser takes until a page of the console can be used."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from statistics import median

from playwright.sync_api import sync_playwright

from benchmarks.harness.servers import HOST
from console.page import PREFIX

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"


def measure(port: int, pages: Mapping[str, str], times: int) -> dict[str, float]:
    """By page the median milliseconds from the navigation until styles and scripts are loaded too.

    Raises:
        SystemExit: Chromium is not installed.
    """
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            taken: dict[str, list[float]] = {name: [] for name in pages}
            for _ in range(times):
                context = browser.new_context()  # without the cache of the visit before
                page = context.new_page()
                for name, path in pages.items():
                    page.goto(f"http://{HOST}:{port}{PREFIX}{path}", wait_until="load")
                    page.wait_for_function(f"({LOADED})() > 0")
                    taken[name].append(float(page.evaluate(LOADED)))
                context.close()
        finally:
            browser.close()
    return {name: median(values) for name, values in taken.items()}
