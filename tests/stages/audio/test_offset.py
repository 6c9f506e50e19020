"""A constant offset is taken out, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.audio.made import wav_bytes
from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.offset import without_offset
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.score_signal.signal import SnrSettings, snr_db

RATE = 16_000


def speech(seconds: float = 8, rate: int = RATE) -> np.ndarray:
    """Tones of changing loudness with pauses and a soft noise: float32 (1, samples), mean 0."""
    random = np.random.default_rng(3)
    time = np.arange(round(seconds * rate)) / rate
    loudness = np.clip(np.sin(2 * np.pi * 0.7 * time), 0, 1) ** 2
    voice = 0.2 * loudness * np.sin(2 * np.pi * 180 * time + np.sin(5 * time))
    found = voice + 0.0005 * random.standard_normal(time.size)
    return (found - found.mean())[np.newaxis].astype(np.float32)


def cleared(audio: np.ndarray, rate: int = RATE, size: int | None = None) -> np.ndarray:
    size = size or audio.shape[1]
    blocks = (audio[:, i : i + size] for i in range(0, audio.shape[1], size))
    return np.concatenate(list(without_offset(blocks, rate)), axis=1)


@pytest.mark.parametrize("rate", [8000, 11_025, 48_000])
@pytest.mark.parametrize("seconds", [0.3, 1, 4.7])
def test_audio_without_offset_is_the_same_bit_by_bit(rate: int, seconds: float) -> None:
    audio = speech(seconds, rate)
    np.testing.assert_array_equal(cleared(audio, rate), audio)


@pytest.mark.parametrize("offset", [-0.6, -0.03, 0.001, 0.03, 0.35])
def test_an_offset_no_longer_spoils_what_is_measured(offset: float) -> None:
    audio = speech()
    heard = cleared(audio + np.float32(offset))
    assert heard.shape == audio.shape
    assert abs(float(heard.mean())) < 3e-4
    measured, truth = (snr_db(a[0], RATE, SnrSettings()) for a in (heard, audio))
    assert measured == pytest.approx(truth, abs=1)
    error = np.sqrt(np.mean((heard - audio) ** 2) / np.mean(audio**2))
    assert error < 0.05  # a high-pass filter far below speech: 180 Hz turns by 1.6 degrees


def test_one_that_begins_ends_or_moves_is_followed() -> None:
    audio = speech(12)
    offset = np.zeros_like(audio)
    offset[:, 3 * RATE + 777 : 7 * RATE + 50] = 0.2
    offset[:, 9 * RATE :] = np.linspace(0, 0.1, 3 * RATE)
    error = np.abs(cleared(audio + offset) - audio)[0]
    assert error[: 3 * RATE].max() == 0
    late = int(0.25 * RATE)  # after a step the filter takes so long
    for start, end in ((3 * RATE + 777, 7 * RATE + 50), (7 * RATE + 50, 9 * RATE)):
        assert error[start + late : end].max() < 0.02
    assert error[9 * RATE :].max() < 0.02


def test_channels_are_cleared_each_by_itself() -> None:
    left, right = speech(3), speech(3)[:, ::-1]
    heard = cleared(np.concatenate([left, right + np.float32(0.1)]))
    np.testing.assert_array_equal(heard[0], left[0])
    assert abs(float(heard[1].mean())) < 1e-4


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3 * RATE), st.floats(-0.1, 0.1))
def test_blocks_do_not_matter(size: int, offset: float) -> None:
    audio = speech(3.3) + np.float32(offset)
    audio[:, 2 * RATE :] -= np.float32(offset)
    np.testing.assert_array_equal(cleared(audio, size=size), cleared(audio))


def test_decoded_audio_has_none_and_an_offset_alone_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(speech()[0] + 0.3, RATE))
    with open_audio(str(path)) as audio:
        assert abs(float(np.concatenate(list(audio.blocks), axis=1).mean())) < 1e-4
    path.write_bytes(wav_bytes(np.full(3 * RATE, 0.3, np.float32), RATE))
    with open_audio(str(path)) as audio, pytest.raises(RecordingError) as caught:
        list(audio.blocks)
    assert caught.value.reason == "silent"
