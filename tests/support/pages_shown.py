"""Pages as headless Chromium shows them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Start a browser, or skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if CHROMIUM is None:
        pytest.skip("no chromium: Debian's package of that name")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def shown(browser: Any, page_or_address: Path | str, width: int = 1280) -> tuple[Any, list[str]]:
    """Open a page, a file without a network; return it, and what went wrong."""
    is_file = isinstance(page_or_address, Path)
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=is_file)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url[:80]))
    page.goto(page_or_address.as_uri() if is_file else page_or_address)
    return page, wrong
