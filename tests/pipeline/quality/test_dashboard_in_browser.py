"""The dashboard in a real browser: pages, filters, search, sound, and a build that goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Visit, installed, running_browser, visit
from tests.pipeline.quality.support import judged_workdir, write_workdir
from tests.pipeline.quality.test_server import EVIL, shard_with_audio
from wavemill.pipeline.lock import locked
from wavemill.pipeline.quality.live import Live
from wavemill.pipeline.quality.server import Server
from wavemill.pipeline.store import Store

AUDIO = "() => document.querySelector('#browse-table .detail audio')?.{}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    installed()
    with running_browser() as browser:
        yield browser


@contextmanager
def dashboard(browser: Any, store: Store) -> Iterator[Visit]:
    live = Live(store, "0")
    server = Server(live, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with visit(browser, f"http://127.0.0.1:{server.server_address[1]}") as seen:
            seen.page.wait_for_selector("#browse-table tbody tr")
            yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        live.close()


def column(seen: Visit, number: int) -> list[str]:
    cells = seen.page.locator(f"#browse-table tbody tr:not(.detail) td:nth-child({number})")
    texts: list[str] = cells.all_inner_texts()
    return texts


def snr(seen: Visit) -> list[float]:
    return [float(text.replace("−", "-")) for text in column(seen, 8)]


def test_pages_orders_and_filters(browser: Any, tmp_path: Path) -> None:
    with dashboard(browser, judged_workdir(tmp_path)) as seen:
        page, form = seen.page, seen.page.locator("#browse-form")
        status = page.locator("#browse-table [role=status]")
        assert status.inner_text().startswith("400 segments")
        assert len(column(seen, 1)) == 50
        page.get_by_role("button", name="Next").click()
        page.get_by_text("2 of 8", exact=True).wait_for()
        assert len(column(seen, 1)) == 50
        page.get_by_role("button", name="SNR, dB").click()
        page.get_by_text("1 of 8", exact=True).wait_for()
        assert snr(seen) == sorted(snr(seen))
        form.get_by_label("Rule").select_option("low_snr")
        form.get_by_label("Source").fill("/set1/7.flac")
        page.get_by_text("1 of 1", exact=True).wait_for()
        assert set(column(seen, 2)) == {"7.flac"}
        assert max(snr(seen)) < 3
        assert status.inner_text().startswith(f"{len(column(seen, 1))} segments")


def test_sound_text_and_a_build_that_goes_on(browser: Any, tmp_path: Path) -> None:
    store = write_workdir(tmp_path, [shard_with_audio()])
    with dashboard(browser, store) as seen:
        page = seen.page
        assert EVIL in page.locator("#browse-table").text_content()
        assert page.locator("script").count() == 3
        page.locator("#browse-form").get_by_label("Transcript").fill("MORNING")
        page.get_by_text("1 segment, 5.0 s").wait_for()
        page.get_by_role("button", name="Listen to 1.flac").click()
        audio = page.locator("#browse-table .detail audio")
        page.wait_for_function(AUDIO.format("duration > 4"))
        assert audio.evaluate("(one) => one.duration") == pytest.approx(5, abs=0.01)
        audio.evaluate("(one) => { one.muted = true; return one.play(); }")
        page.wait_for_function(AUDIO.format("currentTime > 0.1"))
        assert seen.text("#build-state") == "No build is running."
        with locked(store, "wavemill curate"):
            page.get_by_text("Running: wavemill curate").wait_for()
            write_workdir(tmp_path, [shard_with_audio(), shard_with_audio(2, "b")], number=2)
            page.get_by_text("Snapshot 2").wait_for()
        assert "2 recordings" in seen.text("#headline")
        assert "1 added" in seen.text("#change")
        page.get_by_text("2 segments, 10.0 s").wait_for()  # the filter has stayed
        assert all(url.startswith("http://127.0.0.1:") for url in seen.requests)
