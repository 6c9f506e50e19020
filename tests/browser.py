"""A real browser for tests of pages: the Chromium that is installed, without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 30_000  # for a machine that is busy with other things


def installed() -> str:
    """Return the browser's executable, or skip the test where there is none."""
    named = os.environ.get("WAVEMILL_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed (on Debian: apt-get install chromium)")
    return found


@contextmanager
def running_browser() -> Iterator[Any]:
    """Give a Playwright browser; skip where it is not installed or does not start."""
    path = installed()
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        try:
            # Chromium refuses to sandbox for root; the pages are our own
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"{path} does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and what went wrong on it, which should be nothing."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # over a network

    def text(self, selector: str) -> str:
        text: str = self.page.locator(selector).inner_text()
        return text.replace("\u00a0", " ")


@contextmanager
def visit(browser: Any, url: str, width: int = 1280, dark: bool = False) -> Iterator[Visit]:
    """Open a page until all of its charts are drawn; fail on errors in its console."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    seen = Visit(page)
    page.on("console", lambda m: seen.problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("dialog", lambda dialog: seen.problems.append(f"dialog: {dialog.message}"))
    page.on("request", lambda r: seen.requests.append(r.url) if "http" in r.url[:4] else None)
    page.goto(url)
    page.wait_for_function(DRAWN)
    yield seen
    context.close()
    assert seen.problems == []


# Every chart's place has a drawing with marks in it.
DRAWN = """() => {
  const charts = [...document.querySelectorAll(".chart")].filter((one) => one.offsetParent);
  const marks = ".mark-rect path, .mark-area path, .note";
  return charts.length > 0 && charts.every((one) => !one.ariaBusy && one.querySelector(marks));
}"""
