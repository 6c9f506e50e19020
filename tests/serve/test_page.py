"""The page in Chromium, with a microphone that is fed from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.browser import WAIT_MS, installed
from tests.serve.support import RATE, speech

# A model of random weights may say nothing in words.
SPOKEN = """() => /first audio/.test(document.getElementById("latency").textContent)
  && !["", "…"].includes(document.querySelector("#talk li.user")?.textContent ?? "")"""
ENDED = "() => document.getElementById('state').textContent === 'listening'"


def test_talking_on_the_page(port: int, tmp_path: Path) -> None:
    """Speech from the microphone is written down and answered, and the answer can be stopped."""
    file = tmp_path / "microphone.wav"
    quiet = np.zeros(2 * RATE, np.float32)
    soundfile.write(file, np.concatenate([quiet, speech(), np.tile(quiet, 30)]), RATE)
    api = pytest.importorskip("playwright.sync_api")
    address = f"http://127.0.0.1:{port}"
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed(),
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={file}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(2 * WAIT_MS)
        problems: list[str] = []
        requests: list[str] = []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: requests.append(r.url))
        page.on("websocket", lambda w: requests.append(w.url.replace("ws:", "http:")))
        page.goto(address)
        page.get_by_role("button", name="Talk").click()
        page.wait_for_function(SPOKEN)
        page.wait_for_function(ENDED)
        assert page.locator("#talk li.user").count() >= 1
        assert _fits(page)
        page.get_by_role("button", name="Stop").click()
        assert page.locator("#state").inner_text() == "not connected"
        browser.close()
    assert problems == []
    own = [url for url in requests if not url.startswith("data:")]
    assert f"{address}/v1/realtime" in own
    assert all(url.startswith(address) for url in own), own


def _fits(page: Any) -> bool:
    """Whether a phone shows the page without scrolling sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
