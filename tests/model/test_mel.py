"""The log-mel front end: its grid, its normalisation, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model import mel


def tone(hertz: float, seconds: float = 1.0, gain: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * mel.SAMPLE_RATE)) / mel.SAMPLE_RATE
    return (gain * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@given(st.integers(0, 10**7))
def test_tokens_in_a_duration(duration_ms: int) -> None:
    count = mel.tokens_in(duration_ms)
    assert (count - 1) * mel.TOKEN_MS < duration_ms <= count * mel.TOKEN_MS


def test_constants_fit_together() -> None:
    assert mel.TOKEN_SAMPLES * 25 == 2 * mel.SAMPLE_RATE  # 12.5 tokens a second
    assert 2 * mel.MARGIN + mel.HOP == mel.WINDOW


def test_every_bin_between_the_outer_ones_is_heard() -> None:
    filters = mel.mel_filters()
    assert filters.shape == (mel.N_MELS, mel.N_BINS)
    assert (filters.max(axis=1) > 0).all()
    assert (filters.sum(axis=0)[2:-1] > 0).all()


@pytest.mark.parametrize("samples", [0, 100, 1280, 5000])
def test_shape_is_what_was_asked_for(samples: int) -> None:
    audio = np.zeros(samples, np.float32)
    assert mel.log_mel(audio, 8).shape == (8, mel.N_MELS)
    assert mel.log_mel(audio, 0).shape == (0, mel.N_MELS)
    assert mel.normalise(mel.log_mel(audio, 0)).shape == (0, mel.N_MELS)


def test_a_higher_tone_sits_in_a_higher_band() -> None:
    bands = [int(mel.log_mel(tone(hertz), 50).mean(0).argmax()) for hertz in (200, 1000, 4000)]
    assert bands == sorted(set(bands))


def test_frame_k_hears_the_kth_hop() -> None:
    audio = np.zeros(50 * mel.HOP, np.float32)
    audio[20 * mel.HOP + mel.HOP // 2] = 1.0
    assert int(mel.log_mel(audio, 50).sum(axis=1).argmax()) == 20


def test_long_audio_is_computed_in_parts_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.random.default_rng(0).standard_normal(40 * mel.HOP).astype(np.float32)
    whole = mel.log_mel(audio, 40)
    monkeypatch.setattr(mel, "FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(mel.log_mel(audio, 40), whole, atol=1e-3)


@pytest.mark.parametrize("gain", [0.01, 0.5, 3.0])
def test_normalised_frames_do_not_depend_on_gain(gain: float) -> None:
    audio = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * np.float32(0.1)
    normal = mel.normalise(mel.log_mel(audio, 50))
    scaled = mel.normalise(mel.log_mel(np.float32(gain) * audio, 50))
    np.testing.assert_allclose(scaled, normal, atol=1e-2)
    assert mel.level_db(normal) == pytest.approx(0.0, abs=1e-3)


def test_silence_is_finite() -> None:
    silent = mel.normalise(mel.log_mel(np.zeros(1600, np.float32), 5))
    assert np.isfinite(silent).all()
    assert mel.waveform(silent, iterations=2).shape == (5 * mel.HOP,)


def test_stacking_is_undone() -> None:
    frames = np.arange(8 * mel.N_MELS, dtype=np.float32).reshape(8, mel.N_MELS)
    assert mel.stack(frames).shape == (2, mel.FRAMES_PER_TOKEN * mel.N_MELS)
    np.testing.assert_array_equal(mel.unstack(mel.stack(frames)), frames)


def test_a_waveform_comes_back_with_its_pitch_and_its_frames() -> None:
    audio = tone(440) + tone(1200, gain=0.1)
    frames = mel.log_mel(audio, 50)
    back = mel.waveform(frames, iterations=30)
    assert back.shape == (50 * mel.HOP,)
    spectrum = np.abs(np.fft.rfft(back))
    assert spectrum.argmax() * mel.SAMPLE_RATE / len(back) == pytest.approx(440, abs=15)
    loud = frames > frames.max() - 20
    errors = [
        np.sqrt(np.mean((mel.log_mel(mel.waveform(frames, n), 50) - frames)[loud] ** 2))
        for n in (0, 30)
    ]
    assert errors[1] < 5.0 < errors[0]  # dB, without and with phases that were found
    np.testing.assert_array_equal(mel.waveform(frames, iterations=30), back)
