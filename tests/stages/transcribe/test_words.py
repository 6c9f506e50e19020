"""From decoded segments to words."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wavemill.stages.transcribe.engine import Word
from wavemill.stages.transcribe.words import mean_confidence, words_from


@dataclass
class Decoded:
    word: str
    start_frame: int
    end_frame: int
    prob: float = 0.5


def test_fillers_go_and_marks_of_pronunciation_are_cut() -> None:
    segmentation = [
        Decoded("<s>", 0, 9),
        Decoded("and(2)", 10, 19),
        Decoded("<sil>", 20, 29),
        Decoded("[NOISE]", 30, 39),
        Decoded("++um++", 40, 49),
        Decoded("'tis", 50, 59),
        Decoded("</s>", 60, 69),
    ]
    assert words_from(segmentation, 700) == (
        Word("and", 100, 200, 0.5),
        Word("'tis", 500, 600, 0.5),
    )


def test_times_stay_in_the_clip_and_confidences_in_zero_to_one() -> None:
    words = words_from([Decoded("a", 0, 9, 1.0001), Decoded("b", 10, 12, -1e-9)], 123)
    assert words == (Word("a", 0, 100, 1.0), Word("b", 100, 123, 0.0))


def test_nothing_decoded() -> None:
    assert words_from([], 500) == ()
    assert mean_confidence([]) == 0.0
    assert mean_confidence([Word("a", 7, 7, 1.0)]) == 0.0


def test_confidence_is_weighted_by_duration() -> None:
    words = [Word("a", 0, 100, 1.0), Word("country", 100, 400, 0.2)]
    assert mean_confidence(words) == pytest.approx(0.4)
