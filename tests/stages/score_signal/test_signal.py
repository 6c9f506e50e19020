"""The measures on samples: known signals, and recorded noise at known levels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import audio_folder
from wavemill.stages.score_signal.signal import (
    ClippingSettings,
    SnrSettings,
    clipping_ratio,
    snr_db,
)

RATE = 16_000


def bursts(seconds: float = 8.0) -> np.ndarray:
    """Tone bursts of 0.3 s with pauses of 0.2 s, as loud as speech."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * 300 * time) * (time % 0.5 < 0.3)).astype(np.float32)


def with_noise(clean: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    noise = np.resize(noise, len(clean))
    gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
    return (clean + gain * noise).astype(np.float32)


def estimate(audio: np.ndarray) -> float:
    value = snr_db(audio, RATE, SnrSettings())
    assert value is not None
    return value


@pytest.mark.parametrize("snr", [0, 10, 20, 30])
def test_snr_of_bursts_in_white_noise_is_right_within_a_decibel(snr: float) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE * 8)
    assert estimate(with_noise(bursts(), noise, snr)) == pytest.approx(snr, abs=1.0)


def test_snr_does_not_depend_on_gain() -> None:
    audio = with_noise(bursts(), np.random.default_rng(0).standard_normal(RATE * 8), 15)
    assert estimate(audio * np.float32(0.1)) == pytest.approx(estimate(audio), abs=0.01)


def test_snr_is_none_without_sound_and_bounded_without_noise() -> None:
    settings = SnrSettings()
    assert snr_db(np.zeros(RATE, np.float32), RATE, settings) is None
    assert snr_db(np.ones(10, np.float32), RATE, settings) is None  # shorter than a frame
    assert estimate(bursts()) == settings.highest_db


def test_snr_of_read_speech_follows_the_noise_that_was_added() -> None:
    import soundfile

    folder = audio_folder()
    errors = []
    for speech_file in sorted((folder / "read").glob("librispeech*.flac")):
        speech, rate = soundfile.read(speech_file, dtype="float32")
        assert rate == RATE
        for noise_file in sorted((folder / "noise").glob("*.wav")):
            noise, _ = soundfile.read(noise_file, dtype="float32")
            snrs = (5, 10, 15, 20)
            estimates = [estimate(with_noise(speech, noise, snr)) for snr in snrs]
            assert estimates == sorted(estimates), (speech_file.name, noise_file.name)
            errors += [value - snr for value, snr in zip(estimates, snrs, strict=True)]
    assert abs(np.mean(errors)) < 1.5
    assert np.mean(np.abs(errors)) < 2.5


def test_clipping_counts_the_samples_of_flat_tops() -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    audio[100:110] = 1.0
    audio[200:220] = -1.0
    audio[300:302] = 1.0  # too short to be clipping
    assert clipping_ratio(audio, ClippingSettings()) == pytest.approx(30 / RATE)


def test_clipping_is_seen_after_the_audio_was_scaled_down() -> None:
    time = np.arange(RATE) / RATE
    clipped = 0.4 * np.clip(1.5 * np.sin(2 * np.pi * 200 * time), -1, 1)
    assert clipping_ratio(clipped.astype(np.float32), ClippingSettings()) > 0.4


@pytest.mark.parametrize("hertz", [100, 300, 1000])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_clean_tones_and_silence_do_not_clip(hertz: int, rate: int) -> None:
    tone = (0.9 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)).astype(np.float32)
    assert clipping_ratio(tone, ClippingSettings()) < 0.001
    assert clipping_ratio(np.zeros(rate, np.float32), ClippingSettings()) == 0.0
    assert clipping_ratio(np.zeros(0, np.float32), ClippingSettings()) == 0.0
