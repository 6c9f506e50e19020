"""Word and character error rates."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("opencc", reason="the extra `evaluate` is not installed")

from wavemill.model.evaluate.scorers.asr import AsrScorer, worst
from wavemill.model.evaluate.scoring import Answered


def said(item_id: str, reference: str, answer: str, language: str = "en") -> Answered:
    return Answered(item_id, answer, (reference,), language=language)


CORPUS = [
    said("right", "good morning to all", "Good morning to all."),
    said("wrong", "the green door", "a green door opened"),
    said("silent", "nobody answered here today", ""),
]


def metrics(*items: Answered, **options: Any) -> dict[str, float]:
    return {m.name: m.value for m in AsrScorer(**options).score(items).metrics}


def test_rate_is_of_the_corpus_with_its_parts() -> None:
    found = metrics(*CORPUS)
    assert found["wer"] == pytest.approx(100 * 6 / 11)
    assert found["substitutions"] == pytest.approx(100 * 1 / 11)
    assert found["deletions"] == pytest.approx(100 * 4 / 11)
    assert found["insertions"] == pytest.approx(100 * 1 / 11)
    assert found["sentence_errors"] == pytest.approx(200 / 3)


def test_item_scores_hold_counts_and_alignment() -> None:
    scores = AsrScorer().score(CORPUS)
    assert [v.value for v in scores.item_scores] == [0, pytest.approx(2 / 3), 1]
    assert scores.item_scores[1].details == {
        "substitutions": 1,
        "deletions": 0,
        "insertions": 1,
        "length": 3,
        "alignment": "[the>a] green door {+opened+}",
    }
    assert [v.item_id for v in worst(scores.item_scores)] == ["silent", "wrong"]
    assert [v.item_id for v in worst(scores.item_scores, 1)] == ["silent"]


def test_interval_holds_the_rate_and_repeats() -> None:
    one, two = (AsrScorer().score(CORPUS * 10).metrics[0] for _ in range(2))
    assert one == two
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.value < one.high
    assert (one.count, one.unscored, one.better) == (30, 0, "lower")


def test_language_names_the_rate() -> None:
    assert metrics(said("a", "你好", "你好", "zh"))["cer"] == 0
    assert "wer" in metrics(said("a", "你好", "你好", "zh"), mode="compat")
    assert "wer" in metrics(said("a", "你好", "你好", "zh"), said("b", "hi", "hi"))


def test_words_for_silence_are_insertions() -> None:
    scores = AsrScorer().score(
        [said("a", "", "thank you"), said("b", "one two three four", "1234")]
    )
    assert scores.item_scores[0].value is None
    assert scores.item_scores[0].note == "empty reference"
    assert scores.metrics[0].value > 0
    assert math.isnan(metrics(said("a", "", "thank you"))["wer"])
    assert math.isnan(metrics()["wer"])


def test_skipped_audio_is_left_out_as_published_and_wrong_by_default() -> None:
    items = [said("a", "two words", "null"), said("b", "two words", "two words")]
    assert metrics(*items)["wer"] == 50
    scores = AsrScorer("compat").score(items)
    assert (scores.metrics[0].value, scores.metrics[0].count) == (0, 1)
    assert scores.item_scores[0].note == "no answer"


def test_columns_of_digits_lose_zeros_as_published() -> None:
    assert metrics(said("a", "007", "7", "zh"), mode="compat")["wer"] == 0
    assert metrics(said("a", "007", "7", "zh"))["cer"] > 0
