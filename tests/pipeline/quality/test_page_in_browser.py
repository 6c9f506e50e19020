"""The page in a real browser: figures, what-if, themes, width, keys, and text from the wild."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.browser import DRAWN, Visit, installed, running_browser, visit
from tests.pipeline.quality.page_numbers import audio, check_tables, check_tiles
from tests.pipeline.quality.support import (
    Shard,
    error_of,
    judged_workdir,
    page_of,
    recording,
    write_workdir,
)
from wavemill.pipeline.quality.figures import read_figures
from wavemill.pipeline.quality.page import render, write_page
from wavemill.pipeline.quality.samples import read_samples
from wavemill.pipeline.quality.what_if import read_what_if

EVIL = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'> \" ' `${1}` \u202e"
SCRIPT = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")
CHECKS = dict(re.findall(r"^// (\w+)\n(.*?)(?=^// |\Z)", SCRIPT, re.M | re.S))
SHOWN_EVIL = EVIL.replace("\u202e", "\ufffd")


@dataclass(frozen=True)
class Made:
    """The page of a WORKDIR, moved to another folder; of a sample; and the database."""

    url: str
    sampled_url: str
    database: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    installed()  # skip before any work
    root = tmp_path_factory.mktemp("work")
    store = judged_workdir(root, text=EVIL, message=EVIL)
    with page_of(store) as (snapshot, database):
        figures = read_figures(database, store, snapshot)
        samples = asdict(read_samples(database, store, snapshot))
        some = read_what_if(database, limit=50)
    sampled = replace(figures, what_if=some)
    folder = tmp_path_factory.mktemp("moved")
    for name, one in (("page", figures), ("sampled", sampled)):
        html = render({"figures": asdict(one), "samples": samples})
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    pages = ((folder / f"{name}.html").as_uri() for name in ("page", "sampled"))
    return Made(*pages, root / "quality.duckdb")


@pytest.fixture(scope="module")
def browser(made: Made) -> Iterator[Any]:
    del made  # before a browser runs
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def seen(browser: Any, made: Made) -> Iterator[Visit]:
    with visit(browser, made.url) as seen:
        yield seen


@pytest.fixture
def database(made: Made) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(made.database, read_only=True) as database:
        yield database


def test_every_number_is_what_a_query_by_hand_gives(
    seen: Visit, database: duckdb.DuckDBPyConnection
) -> None:
    check_tiles(seen, database)
    check_tables(seen, database)


def test_bars_are_as_long_as_their_figures(
    seen: Visit, database: duckdb.DuckDBPyConnection
) -> None:
    widths = seen.page.evaluate(
        """() => [...document.querySelectorAll("#chart-funnel .mark-rect path")].map((bar) =>
          [bar.getAttribute("aria-label"), bar.getBoundingClientRect().width])"""
    )
    longest = max(width for _, width in widths)
    stage_of = re.compile(r"stage: ([^;]+)")
    shown = {stage_of.findall(label)[0]: w for label, w in widths if "goes on" in label}
    funnel = database.execute("select stage, hours_out from funnel").fetchall()
    most = max(hours for _, hours in funnel)
    assert len(shown) == len(funnel)
    for stage, hours in funnel:
        assert shown[stage.replace("_", " ")] == pytest.approx(longest * hours / most, abs=1.5)


def result(seen: Visit) -> str:
    return " ".join(seen.text("#what-if-result").split())


def test_a_moved_threshold_shows_what_a_query_gives(
    browser: Any, made: Made, database: duckdb.DuckDBPyConnection
) -> None:
    others = "len(list_filter(broken, lambda b: b.rule <> 'low_snr')) = 0"
    query = (
        "select sum(duration_s) / 3600, count(*) from segments "
        f"where status in ('kept', 'rejected') and {others}"
    )
    with visit(browser, made.url) as seen:
        before = seen.text("#what-if-result")
        assert "as it is now" in before
        slider = seen.page.locator("#knob-low_snr")
        slider.focus()
        for _ in range(3):
            slider.press("ArrowRight")
        moved = float(slider.input_value())
        assert moved > 3
        ((hours, count),) = database.execute(f"{query} and snr_db >= {moved}").fetchall()
        assert f"{audio(hours)} kept, {count} segments" in result(seen)
        assert seen.text("#what-if-result") != before
        command = seen.text("#what-if-command")
        assert command.startswith("wavemill refresh")
        assert "--set filter.asr.min_snr_db=" in command
        seen.page.get_by_label("low SNR: on").uncheck()
        ((hours, count),) = database.execute(query).fetchall()
        assert f"{audio(hours)} kept, {count} segments" in result(seen)
        assert "min_snr_db=null" in seen.text("#what-if-command")
        seen.page.get_by_label("low SNR: back to 3").click()
        assert seen.text("#what-if-result") == before


def test_a_sample_says_that_it_is_one(browser: Any, made: Made) -> None:
    with visit(browser, made.sampled_url) as seen:
        assert "Estimated from 50 of 400 segments" in seen.text("#what-if-note")
        assert "of 400 segments" in seen.text("#listen-note")
        assert "as it is now" in seen.text("#what-if-result")


def test_text_from_the_wild_is_only_text(seen: Visit) -> None:
    page = seen.page
    assert page.evaluate("window.pwned === undefined")
    assert page.locator("script").count() == 3
    assert page.locator("img").count() == 0
    assert SHOWN_EVIL in page.locator("#listen .transcript").first.text_content()
    assert SHOWN_EVIL in page.locator("#errors").text_content()
    page.locator("#timeline summary").click()
    assert SHOWN_EVIL in page.locator("#timeline table").text_content()


def test_a_corpus_without_segments_has_a_page(browser: Any, tmp_path: Path) -> None:
    failed = recording(1)
    store = write_workdir(tmp_path, [Shard(recordings=[failed])], [error_of(failed, "decode")])
    with page_of(store) as (snapshot, database):
        figures = read_figures(database, store, snapshot)
        write_page(store, figures, read_samples(database, store, snapshot))
    with visit(browser, (tmp_path / "report/index.html").as_uri()) as seen:
        assert seen.text("#chart-rules") == "There is nothing to show."
        assert "it went wrong" in seen.text("#errors")


def test_nothing_is_fetched(seen: Visit) -> None:
    assert seen.requests == []


def test_a_timeline_has_every_segment(seen: Visit, database: duckdb.DuckDBPyConnection) -> None:
    options = seen.page.locator("#timeline-select option").all_inner_texts()
    seen.page.locator("#timeline-select").select_option(index=1)
    seen.page.wait_for_function(DRAWN)
    ((count, kept),) = database.execute(
        "select count(*), count(*) filter (kept) from segments where ends_with(source, ?)",
        [f"/{options[1]}"],
    ).fetchall()
    assert seen.page.locator("#chart-timeline .mark-rect path").count() == count
    assert f"{count} segments, {kept} kept" in seen.text("#timeline-summary")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens_need_no_scrolling_sideways(browser: Any, made: Made, width: int) -> None:
    with visit(browser, made.url, width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.evaluate(CHECKS["outside"], width) == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Any, made: Made, dark: bool) -> None:
    """WCAG 2.2 AA: a contrast of 4.5, of 3 for large text."""
    with visit(browser, made.url, dark=dark) as seen:
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 60) == dark
        assert seen.page.evaluate(CHECKS["pale"]) == []


def test_the_theme_can_be_chosen(browser: Any, made: Made) -> None:
    def grounds(seen: Visit) -> tuple[str, str]:
        seen.page.wait_for_function(DRAWN)
        found: tuple[str, str] = seen.page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
              getComputedStyle(document.querySelector("#chart-funnel .mark-rect path")).fill]"""
        )
        return found

    with visit(browser, made.url) as seen:
        light = grounds(seen)
        button = seen.page.locator("#theme")
        button.click()
        assert grounds(seen) == light
        button.click()
        assert button.inner_text() == "Theme: dark"
        assert all(a != b for a, b in zip(grounds(seen), light, strict=True))


def test_the_keyboard_reaches_everything(browser: Any, made: Made) -> None:
    with visit(browser, made.url) as seen:
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "theme"
        pill = page.locator("#listen-rules button").last
        pill.focus()
        page.keyboard.press("Enter")
        assert pill.get_attribute("aria-pressed") == "true"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        assert page.evaluate(CHECKS["nameless"]) == []
