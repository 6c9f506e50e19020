"""From the segmentation of a PocketSphinx decoder to words with times and confidences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from wavemill.stages.transcribe.engine import Word

FRAME_MS = 10  # PocketSphinx's default frame rate, which its models are trained at
_ALTERNATIVE = re.compile(r"\(\d+\)$")  # "the(2)": the second pronunciation in the dictionary
_FILLERS = ("<", "[", "+")  # <s>, </s>, <sil>, [NOISE], ++NOISE++


class DecodedSegment(Protocol):
    """What is used of `pocketsphinx.Segment`."""

    word: str
    start_frame: int
    end_frame: int  # inclusive
    prob: float  # posterior in the word lattice, a rounding error above 1 at times


def words_from(segmentation: Iterable[DecodedSegment], duration_ms: int) -> tuple[Word, ...]:
    """Return the words of a segmentation, without fillers and marks of pronunciation.

    Times are milliseconds of the clip, which lasts `duration_ms`; frames reach a little beyond.
    """
    return tuple(
        Word(
            word=_ALTERNATIVE.sub("", segment.word),
            start_ms=min(segment.start_frame * FRAME_MS, duration_ms),
            end_ms=min((segment.end_frame + 1) * FRAME_MS, duration_ms),
            confidence=min(max(float(segment.prob), 0.0), 1.0),
        )
        for segment in segmentation
        if not segment.word.startswith(_FILLERS)
    )


def mean_confidence(words: Sequence[Word]) -> float:
    """Return the mean confidence of `words`, weighted by their durations; 0 for no words.

    A plain mean would be ruled by the short function words, of which a decoder strews many over
    what it does not understand.
    """
    duration = sum(word.end_ms - word.start_ms for word in words)
    if duration == 0:
        return 0.0
    weighted = sum(word.confidence * (word.end_ms - word.start_ms) for word in words)
    return weighted / duration
