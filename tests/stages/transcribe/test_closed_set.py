from __future__ import annotations

import numpy as np
import pytest

from tests.stages.transcribe.whisper_models import NAMES, digit_clips
from wavemill.stages.transcribe.closed_set import ClosedSet


@pytest.fixture(scope="module")
def digits() -> ClosedSet:
    return ClosedSet(NAMES)


def test_words_are_heard_whatever_was_heard_before(digits: ClosedSet) -> None:
    clips = digit_clips("jackson")[::5]
    heard = [digits.hear(clip) for _, clip in clips]
    assert sum(word == found for (word, _), found in zip(clips, heard, strict=True)) >= 9
    assert [digits.hear(clip) for _, clip in reversed(clips)] == heard[::-1]


def test_silence_is_no_word(digits: ClosedSet) -> None:
    assert digits.hear(np.zeros(16_000, np.float32)) is None
    assert digits.hear(np.zeros(0, np.float32)) is None


def test_words_that_begin_alike_are_named() -> None:
    with pytest.raises(ValueError, match="wavemillish"):
        ClosedSet(["wavemill", "wavemillish"])
