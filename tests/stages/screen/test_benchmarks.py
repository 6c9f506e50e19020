"""Conversations that a benchmark asks are not for training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.screen.test_screen import screened
from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, write_items
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.screen.stage import Screen

LONG = "Which of the two rivers that meet in the town of Koblenz is the longer one?"
ANSWER = "The longer one is the Rhine which has its source in the Alps"


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    folder = tmp_path / "rivers"
    folder.mkdir()
    items = [
        BenchmarkItem("1", question=LONG, references=(ANSWER, "Yes, it is.")),
        BenchmarkItem("2", question="Who wrote Faust?", references=("Goethe",)),
    ]
    write_items(folder / "items.parquet", items)
    return folder


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        (LONG, "Yes.", True),
        (f"Tell me, please: {LONG.upper()}", "Yes.", True),
        ("Which river is longer there?", f"Well. {ANSWER}!", True),
        ("who wrote FAUST", "Yes.", True),
        ("Do you know who wrote Faust?", "Goethe", False),  # common words in another question
        ("Is it so?", "Yes, it is.", False),  # what a benchmark has as an answer may be said
        ("Which of the two rivers that meet near Passau is longer?", "Yes.", False),  # 7 in a row
    ],
)
def test_questions_and_long_answers_are_found(
    question: str, answer: str, found: bool, benchmark: Path
) -> None:
    assert screened(question, answer) == set()
    rules = screened(question, answer, benchmarks=(benchmark,))
    assert rules == ({"in_benchmark"} if found else set())


def test_the_length_of_a_run_is_a_setting(benchmark: Path) -> None:
    question = "Which of the two rivers that meet near Passau is longer?"
    assert screened(question, benchmarks=(benchmark,), benchmark_words=7) == {"in_benchmark"}


def test_the_content_of_a_benchmark_decides_and_not_its_place(
    benchmark: Path, tmp_path: Path
) -> None:
    def parameters(*folders: Path) -> object:
        return Screen(Screen.Settings(benchmarks=folders)).parameters()

    moved = benchmark.rename(tmp_path / "moved")
    before = parameters(moved)
    assert before == parameters(moved.rename(tmp_path / "again"))
    assert before != parameters()
    other = tmp_path / "again"
    write_items(other / "items.parquet", [BenchmarkItem("1", question="Another?")])
    assert before != parameters(other)


def test_a_folder_without_items_is_one_clear_error(tmp_path: Path) -> None:
    stage = Screen(Screen.Settings(benchmarks=(tmp_path,)))
    remedy = r"screen\.benchmarks: .* remedy: name a folder"
    for ask in (stage.parameters, lambda: stage.load("cpu")):
        with pytest.raises(EngineUnavailable, match=remedy):
            ask()
