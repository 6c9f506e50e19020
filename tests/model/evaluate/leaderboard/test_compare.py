"""What differs by more than chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, write_items
from wavemill.model.evaluate.benchmarks.schema import Benchmark, benchmark_named
from wavemill.model.evaluate.leaderboard.collect import BoardLine, Cell, board_of
from wavemill.model.evaluate.leaderboard.compare import difference
from wavemill.model.evaluate.leaderboard.view import view_of
from wavemill.model.evaluate.recipes.recipe import load_recipe
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.runs.record import Record, begin
from wavemill.model.evaluate.runs.score import score_run, scorer_for

Speaker = Callable[[BenchmarkItem], str]
CHOICES = "voicebench-openbookqa"


def benchmark(name: str, count: int) -> Benchmark:
    """Return a benchmark whose published set has `count` items."""
    known = benchmark_named(name)
    return known.model_copy(update={"data": known.data.model_copy(update={"items": count})})


def run(
    root: Path, about: Benchmark, label: str, items: list[BenchmarkItem], speaker: Speaker
) -> None:
    path = root / f"{about.name}.parquet"
    if not path.exists():
        write_items(path, items)
    stored, folder = Items(path), root / about.name / label
    record = Record(
        label=label,
        benchmark=about,
        items=len(items),
        items_sha256=stored.digest(),
        model={"kind": "test", "name": label},
        recipe=load_recipe("plain"),
        seed=0,
        versions={},
        created="2025-01-01",
    )
    begin(folder, record)
    Answers(folder).append([Row(i.item_id, answer=speaker(i), complete=True) for i in items])
    score_run(folder, record, stored, scorer_for(about))


def choice_items(count: int) -> list[BenchmarkItem]:
    return [
        BenchmarkItem(
            f"c{n}", question="Which?", options=("a dog", "a cat"), references=("AB"[n % 2],)
        )
        for n in range(count)
    ]


def line_of(root: Path, name: str) -> BoardLine:
    return next(line for line in board_of(root).lines if line.benchmark.name == name)


def test_the_same_small_lead_on_the_same_items_is_seen_in_pairs_only(tmp_path: Path) -> None:
    """Both get the hard half wrong; one gets a few more of the others wrong, and none right."""
    about, items = benchmark(CHOICES, 400), choice_items(400)
    hard = {f"c{n}" for n in range(0, 400, 2)}
    more = {f"c{n}" for n in range(1, 400, 40)}

    def speaker(wrong: set[str]) -> Speaker:
        return lambda item: item.references[0] if item.item_id not in wrong else "neither"

    run(tmp_path, about, "first", items, speaker(hard))
    run(tmp_path, about, "second", items, speaker(hard | more))
    line = line_of(tmp_path, CHOICES)
    first, second = line.runs["first"], line.runs["second"]
    assert first.low is not None
    assert second.high is not None
    assert first.low < second.value  # their intervals overlap widely
    found = difference(first, second)
    assert found is not None
    assert (found.kind, found.items) == ("paired", 400)
    assert found.value == pytest.approx(2.5)
    assert found.significant
    back = difference(second, first)
    assert back is not None
    assert back.value == -found.value
    apart = difference(first, Cell(second.value, second.low, second.high, second.run))
    assert apart == found


def test_error_rates_are_compared_by_errors_and_words(tmp_path: Path) -> None:
    lots = random.Random(0)
    about = benchmark("librispeech-test-clean", 200)
    items = [
        BenchmarkItem(f"u{n}", question="", references=(" ".join(["word"] * lots.randint(1, 20)),))
        for n in range(200)
    ]

    def speaker(rate: float, seed: int) -> Speaker:
        drawn = random.Random(seed)
        return lambda i: " ".join(
            "other" if drawn.random() < rate else w for w in i.references[0].split()
        )

    for label, rate, seed in (("good", 0.02, 1), ("as good", 0.02, 2), ("bad", 0.2, 3)):
        run(tmp_path, about, label, items, speaker(rate, seed))
    runs = line_of(tmp_path, about.name).runs
    close, far = difference(runs["good"], runs["as good"]), difference(runs["good"], runs["bad"])
    assert close is not None
    assert far is not None
    assert far.value == pytest.approx(runs["good"].value - runs["bad"].value)
    assert far.high < 0
    assert not close.significant
    shown = view_of(board_of(tmp_path))
    outcomes = {(c.first, c.second): c.outcome for c in shown.comparisons}
    assert outcomes["as good", "bad"] == "better"
    assert outcomes["as good", "good"] == "not shown to differ"


def test_a_published_score_is_held_against_the_interval_of_a_whole_run(tmp_path: Path) -> None:
    whole, items = benchmark(CHOICES, 60), choice_items(60)
    right = {f"c{n}" for n in range(50)}
    run(tmp_path, whole, "m", items, lambda i: i.references[0] if i.item_id in right else "x")
    line = line_of(tmp_path, CHOICES)
    mine = line.runs["m"]
    near, low = difference(mine, line.published["Kimi-Audio"]), difference(mine, Cell(31.87))
    assert near is not None
    assert low is not None
    assert near.kind == "published"
    assert not near.significant
    assert low.low > 0
    assert difference(line.published["Kimi-Audio"], line.published["GLM-4-Voice"]) is None


def test_a_part_of_the_items_is_compared_with_nothing_published(tmp_path: Path) -> None:
    run(tmp_path, benchmark(CHOICES, 455), "m", choice_items(20), lambda i: i.references[0])
    line = line_of(tmp_path, CHOICES)
    assert difference(line.runs["m"], line.published["Kimi-Audio"]) is None
    assert [cell.value for cell in line.bests] == [83.52]
    (shown,) = view_of(board_of(tmp_path)).lines
    assert shown.runs[0].partial
    assert not shown.runs[0].best


def test_a_mean_needs_all_of_its_parts(tmp_path: Path) -> None:
    parts = benchmark_named("voicebench-avg").mean_of
    rules = {"voicebench-mmsu", "voicebench-openbookqa"}
    for name in rules:
        run(tmp_path, benchmark(name, 4), "m", choice_items(4), lambda i: i.references[0])
    assert set(parts) > rules
    assert "voicebench-avg" not in {line.benchmark.name for line in board_of(tmp_path).lines}


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run(tmp_path, benchmark(CHOICES, 4), "m", choice_items(4), lambda i: i.references[0])
    run(tmp_path, benchmark(CHOICES, 4), "n", choice_items(4), lambda i: i.references[0])
    (tmp_path / CHOICES / "n/scores.json").write_text("{", encoding="utf-8")
    board = board_of(tmp_path)
    assert board.labels == ("m",)
    assert len(board.problems) == 1
    assert "--rescore" in board.problems[0]
