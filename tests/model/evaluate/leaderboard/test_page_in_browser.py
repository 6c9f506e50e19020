"""The leaderboard's page as a browser lays it out, on a phone and on a desk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import running_browser
from wavemill.model.evaluate.leaderboard.page import page
from wavemill.model.evaluate.leaderboard.view import ShownCell, ShownLine, View

NAMES = ("librispeech-test-other", "an-own-benchmark-whose-name-is-a-whole-sentence-in-one-word")
UNCOVERED = """() => [...document.querySelectorAll(".board tbody tr")].flatMap((row) => {
  const cell = row.querySelector("td.run");
  if (!cell) return [];
  const box = cell.querySelector("b").getBoundingClientRect();
  const top = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  return [box.left >= 0 && box.right <= window.innerWidth && cell.contains(top)];
})"""


def view() -> View:
    cell = ShownCell("12.34", "10.01–14.56")
    lines = tuple(
        ShownLine("speech recognition", name, "wer, % ↓", True, (cell, cell), (cell,) * 4)
        for name in NAMES
    )
    runs, published = ("run", "another-run"), ("Kimi-Audio", "Qwen2-Audio", "Baichuan", "Step")
    return View(runs, published, lines, (), (), (), ())


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_name_of_a_benchmark_leaves_room_for_its_scores(tmp_path: Path, width: int) -> None:
    (tmp_path / "board.html").write_text(page(view()), encoding="utf-8")
    with running_browser() as browser:
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto((tmp_path / "board.html").as_uri())
        assert tab.evaluate(UNCOVERED) == [True, True]
        wide = "document.documentElement.scrollWidth <= window.innerWidth"
        assert tab.evaluate(wide)  # only the table itself scrolls sideways
