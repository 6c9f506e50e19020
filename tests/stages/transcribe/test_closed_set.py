from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from wavemill.stages.transcribe.closed_set import ClosedSet

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = Path(os.environ.get("WAVEMILL_AUDIO", "../shared/audio")) / "digits"


@pytest.fixture(scope="module")
def digits() -> ClosedSet:
    return ClosedSet(WORDS)


@pytest.mark.skipif(not DIGITS.is_dir(), reason=f"no recordings in {DIGITS}")
def test_words_are_heard_whatever_was_heard_before(digits: ClosedSet) -> None:
    clips = []
    for digit in range(10):
        audio, rate = soundfile.read(DIGITS / f"{digit}_jackson_0.wav", dtype="float32")
        clips.append(soxr.resample(audio, rate, 16_000))
    heard = [digits.hear(clip) for clip in clips]
    assert sum(map(str.__eq__, WORDS, (word or "" for word in heard))) >= 7
    assert [digits.hear(clip) for clip in reversed(clips)] == heard[::-1]


def test_silence_is_no_word(digits: ClosedSet) -> None:
    assert digits.hear(np.zeros(16_000, np.float32)) is None
    assert digits.hear(np.zeros(0, np.float32)) is None


def test_a_word_outside_the_dictionary_is_named() -> None:
    with pytest.raises(ValueError, match="'wavemillish'"):
        ClosedSet(["one", "wavemillish"])
