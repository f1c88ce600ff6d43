"""The pictures of the documentation: ``python -m tests.pictures`` takes them of a running console."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
PICTURES = {
    "overview": "/console",
    "customers": "/console/customers?sort=-revenue_at_risk",
    "segments": "/console/segments?kind=rfm_segment",
    "plan": "/console/plan?budget=500",
}
SIZE = {"width": 1200, "height": 750}


def main(address: str) -> None:
    """Take the pictures of the console at an address, such as ``http://127.0.0.1:8000``."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport=SIZE, color_scheme="light", locale="en-GB")
        for name, path in PICTURES.items():
            page.goto(path)
            page.wait_for_function("() => !document.querySelector('[hx-trigger^=every]')")
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
