"""Statistics of texts with known answers."""

from __future__ import annotations

import pytest

from wavemill.stages.score_text.text import (
    character_count,
    compression_ratio,
    repeated_ngram_ratio,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Hello, world!", ["hello", "world"]),
        ("don't well-known", ["don't", "well-known"]),
        ("这并不是", ["这", "并", "不", "是"]),
        ("我们用 GPU 算", ["我", "们", "用", "gpu", "算"]),
        ("... -- ?", []),
        ("in 1999", ["in", "1999"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_characters_are_counted_without_white_space() -> None:
    assert character_count(" a b\tc\n") == 3


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("", 0.0), ("a b", 0.0), ("a b c d", 0.0), ("a a a a a", 2 / 3), ("a b c a b c", 1 / 4)],
)
def test_repeated_trigrams(text: str, ratio: float) -> None:
    assert repeated_ngram_ratio(words_of(text), 3) == pytest.approx(ratio)


def test_compression_ratio_is_high_for_a_loop() -> None:
    assert compression_ratio("") is None
    sentence = "He hoped there would be stew for dinner."
    plain, loop = compression_ratio(sentence), compression_ratio(sentence * 10)
    assert plain is not None
    assert loop is not None
    assert plain < 1.2
    assert loop > 5
