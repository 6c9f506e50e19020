"""Speech rated by listeners that are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, write_items
from wavemill.model.evaluate.benchmarks.schema import benchmark_named
from wavemill.model.evaluate.recipes.recipe import load_recipe
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.runs.record import Record, RunError
from wavemill.model.evaluate.runs.speech import (
    HEARD_FILE,
    Listener,
    Listeners,
    read_speech,
    score_speech,
)
from wavemill.model.evaluate.scorers.choice import LabelScorer
from wavemill.model.evaluate.sound import encoded

RATE = 24_000


def spoken(item_id: str, text: str, seconds: float, work: float, first: float) -> Row:
    sound = encoded(np.full(round(seconds * RATE), 0.1, np.float32), RATE)
    return Row(
        item_id, answer=text, seconds=work, speech=sound, speech_s=seconds, first_chunk_s=first
    )


def run_of(folder: Path, rows: Sequence[Row]) -> Items:
    write_items(
        folder / "items.parquet", [BenchmarkItem(row.item_id, question="?") for row in rows]
    )
    Answers(folder).append(rows)
    return Items(folder / "items.parquet")


def heard_as(*texts: str) -> Listener[str]:
    """Return who hears these texts in turn, at 8 kHz."""
    left = list(texts)

    def listen(clips: Sequence[np.ndarray]) -> list[str | None]:
        assert {round(len(clip) / 8000, 2) for clip in clips} <= {0.5, 1.5}
        return [left.pop(0) for _ in clips]

    return Listener("ears", 8000, listen)


def test_metrics_follow_from_what_is_heard(tmp_path: Path) -> None:
    rows = [
        spoken("a", "the cat sat", 0.5, 1.0, 0.25),
        spoken("b", "down", 1.5, 1.0, 0.75),
        Row("c", answer="silent", seconds=1.0),
        Row("d", error="failed"),
    ]
    items = run_of(tmp_path, rows)
    rating = Listener("rater", 16_000, lambda clips: [3.0, None][: len(clips)])
    voice = Listener("voices", 16_000, lambda clips: [0.5] * len(clips))
    ears = heard_as("the hat sat", "Down.")
    found = score_speech(tmp_path, items, Listeners(ears, rating, voice))
    assert read_speech(tmp_path) == found
    values = {m.name: (m.value, m.count, m.unscored) for m in found.metrics}
    assert values == {
        "speech_wer": (25.0, 2, 0),
        "speech_quality": (3.0, 1, 1),
        "speaker_similarity": (0.5, 2, 0),
        "first_chunk_s": (0.5, 2, 0),
        "real_time_factor": (1.0, 2, 0),
    }
    assert (found.spoken, found.silent) == (2, 1)
    assert found.listeners == {"transcriber": "ears", "quality": "rater", "voice": "voices"}


def test_times_need_no_listener(tmp_path: Path) -> None:
    items = run_of(tmp_path, [spoken("a", "one", 0.5, 0.1, 0.05)])
    names = [metric.name for metric in score_speech(tmp_path, items, Listeners()).metrics]
    assert names == ["first_chunk_s", "real_time_factor"]


def test_silence_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    items = run_of(tmp_path, [Row("a", answer="x")])
    with pytest.raises(RunError, match="--speaks"):
        score_speech(tmp_path, items, Listeners())


def test_what_is_heard_is_scored_as_the_answers_are(tmp_path: Path) -> None:
    answers = {"a": "The answer is eight.", "b": "The answer is two.", "c": "The answer is two."}
    write_items(
        tmp_path / "items.parquet",
        [BenchmarkItem(name, question="?", references=(text,)) for name, text in answers.items()],
    )
    rows = [spoken(name, text, 0.5, 1.0, 0.25) for name, text in answers.items()]
    items = Items(tmp_path / "items.parquet")
    Answers(tmp_path).append(rows)
    ears = heard_as("The answer is 8.", "The answer is too", "The answer is two.")
    run = Record(
        label="model",
        benchmark=benchmark_named("meld").model_copy(
            update={"options": tuple(sorted(set(answers.values())))}
        ),
        items=len(answers), items_sha256="", model={}, recipe=load_recipe("plain"), seed=0,
        versions={}, created="2025-01-01",
    )  # fmt: skip
    found = score_speech(tmp_path, items, Listeners(ears), record=run, scorer=LabelScorer())
    assert found.metrics[0].name == "heard_accuracy"
    assert found.metrics[0].value == pytest.approx(200 / 3)
    stored = pq.read_table(tmp_path / HEARD_FILE).to_pylist()
    assert [(one["heard"], one["value"]) for one in stored] == [
        ("The answer is 8.", 1.0), ("The answer is too", 0.0), ("The answer is two.", 1.0)
    ]  # fmt: skip
