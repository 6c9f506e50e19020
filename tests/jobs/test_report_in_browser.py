"""wavemill report on real recordings, looked at in a real browser: charts, and audio that plays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
import soundfile
from typer.testing import CliRunner

from tests.browser import installed, running_browser, visit
from tests.pipeline.quality.page_numbers import check_tables, check_tiles
from tests.support import ROOT, audio_folder
from wavemill.jobs.cli import app


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR of two examples (8 s of each) and, where there are any, of real recordings."""
    installed()  # skip before any work
    folder = tmp_path_factory.mktemp("sources")
    for name in ("clipped_voices", "stereo_call"):  # nothing of the first is kept
        samples, rate = soundfile.read(ROOT / f"examples/recordings/{name}.flac")
        soundfile.write(folder / f"{name}.flac", samples[: 8 * rate], rate)
    sources = sorted(folder.iterdir())
    with suppress(pytest.skip.Exception):
        sources += [audio_folder() / name for name in ("read/jfk.flac", "noise/noise2.wav")]
    workdir = tmp_path_factory.mktemp("work")
    options = ["--executor", "inline", "--set", "denoise.recordings=all"]  # both can be heard
    for command in (
        ["curate", *map(str, sources), "--out", str(workdir), *options],
        ["report", str(workdir)],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    return workdir


@pytest.fixture(scope="module")
def browser(workdir: Path) -> Iterator[Any]:
    del workdir  # before a browser runs
    with running_browser() as browser:
        yield browser


def test_every_number_is_what_a_query_by_hand_gives(browser: Any, workdir: Path) -> None:
    url = (workdir / "report/index.html").as_uri()
    with (
        duckdb.connect(workdir / "quality.duckdb", read_only=True) as database,
        visit(browser, url) as seen,
    ):
        check_tiles(seen, database)
        check_tables(seen, database)


@pytest.mark.parametrize("dark", [False, True])
def test_segments_can_be_heard(browser: Any, workdir: Path, dark: bool) -> None:
    with duckdb.connect(workdir / "quality.duckdb", read_only=True) as database:
        lengths = database.execute("select least(12, duration_s) from segments").fetchall()
    with visit(browser, (workdir / "report/index.html").as_uri(), dark=dark) as seen:
        seen.page.get_by_role("button", name="drawn by chance").click()
        seen.page.wait_for_function(HAVE_METADATA)
        durations = seen.page.evaluate(
            "() => [...document.querySelectorAll('audio')].map((one) => one.duration)"
        )
        assert 0 < len(durations) <= 8
        for found in durations:
            assert min(abs(found - length) for (length,) in lengths) < 0.03
        assert seen.page.locator("#listen .wave .mine").count() == len(durations)
        seen.page.get_by_label("enhanced").first.check()
        seen.page.wait_for_function(HAVE_METADATA)
        assert seen.requests == []


HAVE_METADATA = """() => {
  const all = [...document.querySelectorAll("audio")];
  return all.length > 0 && all.every((one) => one.duration > 0);
}"""
