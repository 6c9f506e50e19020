"""Silero through onnxruntime: streaming, and the package's own segment logic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support import audio_folder
from wavemill.stages.diarize.vad import (
    FRAME,
    SAMPLE_RATE,
    ProbabilityStream,
    VadConfig,
    open_session,
    speech_spans,
)

PLAIN = VadConfig(threshold=0.5, min_speech_ms=250, min_silence_ms=100, speech_pad_ms=0)
FRAME_MS = 32


def speech_probabilities(
    session: Any, pieces: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the probabilities of a whole track given as successive pieces at 16 kHz."""
    stream = ProbabilityStream(session)
    for piece in pieces:
        stream.feed(piece)
    return stream.finish()


def spans(pattern: str, config: VadConfig = PLAIN) -> list[tuple[int, int]]:
    """`#` is a speech frame, `-` one below the release threshold, `~` one in between."""
    values = {"#": 0.9, "-": 0.1, "~": 0.4}
    probabilities = np.array([values[c] for c in pattern], np.float32)
    return speech_spans(probabilities, len(pattern) * FRAME, config)


def test_speech_begins_and_ends_at_frames() -> None:
    assert spans("-" * 10 + "#" * 10 + "-" * 10) == [(320, 640)]


def test_what_is_short_is_dropped() -> None:
    assert spans("-" * 10 + "#" * 7 + "-" * 10) == []


def test_short_silence_and_doubtful_frames_do_not_end_speech() -> None:
    assert spans("#" * 10 + "-" * 3 + "#" * 10 + "-" * 9) == [(0, 736)]
    assert spans("#" * 10 + "~" * 20 + "#" * 10 + "-" * 9) == [(0, 1280)]


def test_padding_is_shared_in_a_narrow_gap() -> None:
    config = PLAIN.model_copy(update={"speech_pad_ms": 100})
    # The gap of 160 ms is narrower than two pads: each side gets half of it.
    assert spans("#" * 10 + "-" * 5 + "#" * 10 + "-" * 20, config) == [(0, 400), (400, 900)]


def test_speech_at_the_end_reaches_the_end() -> None:
    assert spans("-" * 10 + "#" * 20) == [(320, 960)]


@settings(deadline=None)  # the first example imports the package, and with it torch
@given(st.lists(st.floats(0, 1, width=32), max_size=200), st.integers(0, FRAME - 1))
def test_same_spans_as_the_package(values: list[float], missing: int) -> None:
    package = pytest.importorskip("silero_vad.utils_vad")
    samples = max(0, len(values) * FRAME - missing)
    config = VadConfig()
    expected = package.get_speech_timestamps_from_probs(
        values,
        threshold=config.threshold,
        min_speech_duration_ms=config.min_speech_ms,
        min_silence_duration_ms=config.min_silence_ms,
        speech_pad_ms=config.speech_pad_ms,
        audio_length_samples=samples,
    )
    in_ms = [(s["start"] * 1000 // SAMPLE_RATE, s["end"] * 1000 // SAMPLE_RATE) for s in expected]
    assert speech_spans(np.array(values, np.float32), samples, config) == in_ms


def test_pieces_of_any_size_give_the_same_probabilities() -> None:
    session = open_session()
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE + 77).astype(np.float32)
    whole = speech_probabilities(session, [noise])
    pieces = speech_probabilities(session, np.array_split(noise, [1, 100, 513, 9000, 40_001]))
    assert len(whole) == -(-len(noise) // FRAME)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
    assert len(speech_probabilities(session, [])) == 0


def test_real_speech_is_found_and_silence_is_not() -> None:
    import soundfile

    path = audio_folder() / "read" / "librispeech_1263-139804-0001.flac"
    speech, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    session = open_session()
    probabilities = speech_probabilities(session, [speech])
    found = speech_spans(probabilities, len(speech), VadConfig())
    covered = sum(end - start for start, end in found) * SAMPLE_RATE / 1000 / len(speech)
    assert covered > 0.6
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert speech_spans(speech_probabilities(session, [silence]), SAMPLE_RATE, VadConfig()) == []
