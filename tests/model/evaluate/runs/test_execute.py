"""One item cannot spoil others, and a model that is wrong stops the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, write_items
from wavemill.model.evaluate.benchmarks.schema import benchmark_named
from wavemill.model.evaluate.models.answering import Answer, ModelError, ModelInput, Speech
from wavemill.model.evaluate.recipes.recipe import Recipe
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.runs.execute import ONLY_ERRORS, ItemAnswerer, answer_all, one_by_one
from wavemill.model.evaluate.sound import decoded, encoded

BENCHMARK = benchmark_named("fleurs-en")
RECIPE = Recipe(name="test", shortest_s=0.1, longest_s=60.0)


class Echo:
    """Says how many samples it heard; fails over a batch that holds what it cannot hear."""

    def __init__(self, speech: Speech | None = None) -> None:
        self.asked: list[str] = []
        self.speech = speech

    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        if any(one.item_id == "bad" for one in asked):
            raise ValueError("no room\nfor it")
        self.asked += [one.item_id for one in asked]
        heard = [0 if one.audio is None else len(one.audio) for one in asked]
        return [Answer(f"{samples}", speech=self.speech, seconds=0.5) for samples in heard]


def clip(seconds: float) -> bytes:
    return encoded(np.zeros(round(seconds * 16_000), np.float32), 16_000)


def test_only_the_culprit_of_a_batch_has_no_answer() -> None:
    items = [
        BenchmarkItem("a", clip(0.5)),
        BenchmarkItem("bad", clip(0.5)),
        BenchmarkItem("c", clip(0.25)),
    ]
    rows = ItemAnswerer(Echo(), RECIPE, BENCHMARK)(items)
    assert [(row.item_id, row.answer) for row in rows] == [
        ("a", "8000"),
        ("bad", None),
        ("c", "4000"),
    ]
    assert rows[1].error == "ValueError: no room for it"
    assert rows[0].prompt == "Please transcribe this audio."
    assert rows[2].audio_s == 0.25


@pytest.mark.parametrize(
    ("seconds", "sent"), [(0.05, False), (0.0999, False), (0.1, True), (60.0, True), (60.01, False)]
)
def test_recordings_outside_of_the_recipes_lengths_are_not_sent(seconds: float, sent: bool) -> None:
    model = Echo()
    (row,) = ItemAnswerer(model, RECIPE, BENCHMARK)([BenchmarkItem("a", clip(seconds))])
    assert (row.error is None) is sent
    assert bool(model.asked) is sent
    assert sent or "not sent" in (row.error or "")


def test_sound_that_cannot_be_read_is_an_error_of_its_item() -> None:
    rows = ItemAnswerer(Echo(), RECIPE, BENCHMARK)(
        [BenchmarkItem("a", b"noise"), BenchmarkItem("b", clip(1))]
    )
    assert "no readable sound" in (rows[0].error or "")
    assert rows[1].answer == "16000"


def test_speech_is_kept_with_its_times() -> None:
    samples = np.sin(np.arange(4800, dtype=np.float32) / 9)
    (row,) = ItemAnswerer(Echo(Speech(samples, 24_000, 0.03)), RECIPE, BENCHMARK)(
        [BenchmarkItem("a", clip(1))]
    )
    assert (row.speech_s, row.first_chunk_s) == (0.2, 0.03)
    assert row.speech is not None
    assert decoded(row.speech, 24_000) == pytest.approx(samples, abs=1e-4)


def test_a_model_that_is_wrong_stops() -> None:
    class Wrong(Echo):
        def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
            raise ModelError(f"wrong key for {len(asked)} items")

    with pytest.raises(ModelError, match="wrong key"):
        ItemAnswerer(Wrong(), RECIPE, BENCHMARK)(
            [BenchmarkItem("a", clip(1)), BenchmarkItem("b", clip(1))]
        )


def run_of(folder: Path, count: int, worker: ItemAnswerer) -> list[tuple[int, int, int]]:
    items = [BenchmarkItem(f"i{n}", clip(0.1)) for n in range(count)]
    write_items(folder / "items.parquet", items)
    going = answer_all(folder, Items(folder / "items.parquet"), one_by_one(worker), 4)
    return [(at.total, at.answered, at.failed) for at in going]


def test_a_run_yields_what_has_been_written(tmp_path: Path) -> None:
    assert run_of(tmp_path, 6, ItemAnswerer(Echo(), RECIPE, BENCHMARK)) == [
        (6, 0, 0),
        (6, 4, 0),
        (6, 6, 0),
    ]
    assert run_of(tmp_path, 6, ItemAnswerer(Echo(), RECIPE, BENCHMARK)) == [(6, 6, 0)]


def test_nothing_but_errors_stops_the_run_and_says_why(tmp_path: Path) -> None:
    class Down(Echo):
        def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
            return [Answer(error="no server")] * len(asked)

    with pytest.raises(ModelError, match=r"40 items on end had no answer.*no server"):
        run_of(tmp_path, ONLY_ERRORS + 20, ItemAnswerer(Down(), RECIPE, BENCHMARK))
    assert len(Answers(tmp_path).states()) == ONLY_ERRORS


def test_recordings_that_are_not_sent_do_not_stop_the_run(tmp_path: Path) -> None:
    strict = RECIPE.model_copy(update={"shortest_s": 0.2})
    going = run_of(tmp_path, ONLY_ERRORS + 4, ItemAnswerer(Echo(), strict, BENCHMARK))
    assert going[-1] == (ONLY_ERRORS + 4, 0, ONLY_ERRORS + 4)
    assert all(isinstance(row, Row) and row.seconds is None for row in Answers(tmp_path).rows())
