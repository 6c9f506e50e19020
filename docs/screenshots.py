"""Take the README's pictures of the quality page.

    make demo
    .venv/bin/wavemill report demo-output
    .venv/bin/python docs/screenshots.py demo-output

Needs Chromium and playwright (extra `dev`). Writes docs/report-*.webp.
"""

from __future__ import annotations

import base64
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

QUALITY = 80  # of WebP: text stays sharp, a picture has about 50 kB
DRAWN = "() => !document.querySelector('[aria-busy=true]') && document.querySelector('.chart svg')"


@dataclass(frozen=True)
class Shot:
    name: str
    section: str  # that stands at the top
    dark: bool
    height: int
    width: int = 1200


SHOTS = (
    Shot("overview", "#overview", dark=False, height=860),
    Shot("what-if", "#what-if", dark=False, height=700),
    Shot("listen", "#listen", dark=True, height=700),
)


def main() -> None:
    workdir = Path(sys.argv[1]).resolve()
    url = (workdir / "report/index.html").as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for shot in SHOTS:
            take(browser, url, shot)


def take(browser: Browser, url: str, shot: Shot) -> None:
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.dark else "light",
        reduced_motion="reduce",  # no smooth scrolling
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(DRAWN)
    if shot.section == "#what-if":
        _move_a_threshold(page)
    page.evaluate("(id) => document.querySelector(id).scrollIntoView()", shot.section)
    page.wait_for_timeout(500)
    session = context.new_cdp_session(page)
    found = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file = Path(__file__).parent / f"report-{shot.name}.webp"
    file.write_bytes(base64.b64decode(found["data"]))
    print(file, file.stat().st_size)
    context.close()


def _move_a_threshold(page: Page) -> None:
    field = page.get_by_label("low ASR confidence: threshold")
    field.fill("0.5")
    page.wait_for_function(DRAWN)


if __name__ == "__main__":
    main()
