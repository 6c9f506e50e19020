"""Spectra: the frames of the k-means tokens, a vocoder's frames, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model import audio as spectra
from wavemill.model.audio import griffin_lim, vocoder_filters, vocoder_log_mel
from wavemill.model.detokenizer.config import VocoderConfig
from wavemill.model.tokenizer import kmeans as mel

DECIBELS = 20 / np.log(10)  # of a natural logarithm of magnitude
CONFIG = VocoderConfig(win_size=1024, fmax=12_000)


def tone(hertz: float, seconds: float = 1.0, gain: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * mel.SAMPLE_RATE)) / mel.SAMPLE_RATE
    return (gain * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@given(st.integers(0, 10**7))
def test_tokens_in_a_duration(duration_ms: int) -> None:
    count = mel.tokens_in(duration_ms)
    assert (count - 1) * mel.TOKEN_MS < duration_ms <= count * mel.TOKEN_MS


def test_constants_fit_together() -> None:
    assert mel.TOKEN_SAMPLES * 25 == 2 * mel.SAMPLE_RATE  # 12.5 tokens a second
    assert (mel.WINDOW - mel.HOP) % 2 == 0  # a hop sits mid-window


def test_every_bin_between_the_outer_ones_is_heard() -> None:
    filters = spectra.mel_filters(mel.SAMPLE_RATE, mel.WINDOW, mel.N_MELS, scale="htk")
    assert filters.shape == (mel.N_MELS, mel.WINDOW // 2 + 1)
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
    monkeypatch.setattr(spectra, "FRAMES_AT_ONCE", 7)
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


def test_stacks_hold_frames_in_order() -> None:
    frames = np.arange(8 * mel.N_MELS, dtype=np.float32).reshape(8, mel.N_MELS)
    assert mel.stack(frames).shape == (2, mel.FRAMES_PER_TOKEN * mel.N_MELS)
    np.testing.assert_array_equal(mel.stack(frames).reshape(8, mel.N_MELS), frames)


@pytest.mark.parametrize("samples", [480, 959, 960, 24_000])
def test_a_frame_per_hop(samples: int) -> None:
    assert vocoder_log_mel(torch.zeros(2, 3, samples), CONFIG).shape == (2, 3, samples // 480, 80)


def test_too_short() -> None:
    with pytest.raises(ValueError, match="479 samples"):
        vocoder_log_mel(torch.zeros(479), CONFIG)


def test_a_tone_is_in_the_bands_around_it() -> None:
    audio = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(24_000) / 24_000)
    loudest = vocoder_log_mel(audio, CONFIG)[25].argmax()
    band = torch.from_numpy(vocoder_filters(CONFIG))[loudest]
    hertz = band.argmax() * 24_000 / 1024
    assert abs(float(hertz) - 1000) < 60


def test_filters_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(sr=24_000, n_fft=1024, n_mels=80, fmin=20, fmax=11_000)
    config = CONFIG.model_copy(update={"fmin": 20, "fmax": 11_000})
    assert abs(vocoder_filters(config) - wanted).max() < 1e-7


def test_a_waveform_comes_back_with_its_pitch_and_its_frames() -> None:
    time = torch.arange(24_000) / 24_000
    audio = 0.3 * torch.sin(2 * torch.pi * 440 * time) + 0.1 * torch.sin(2 * torch.pi * 1200 * time)
    frames = vocoder_log_mel(audio, CONFIG)
    back = griffin_lim(frames, CONFIG, iterations=30)
    assert back.shape == (24_000,)
    assert int(torch.fft.rfft(back).abs().argmax()) == pytest.approx(440, abs=15)
    loud = frames > frames.max() - 20 / DECIBELS
    made = [vocoder_log_mel(griffin_lim(frames, CONFIG, n), CONFIG) for n in (0, 30)]
    errors = [DECIBELS * float((mel - frames)[loud].square().mean().sqrt()) for mel in made]
    assert errors[1] < 2.0 < errors[0]  # dB, with and without phases that were found
    assert torch.equal(griffin_lim(frames, CONFIG, iterations=30), back)
    assert griffin_lim(frames[:0], CONFIG).shape == (0,)


@pytest.mark.parametrize("window", [64, 50])
def test_the_transform_is_undone_where_windows_overlap(window: int) -> None:
    audio = torch.randn(2, 3, 64 + 16 * 20, generator=torch.Generator().manual_seed(0))
    taper = torch.hann_window(window)
    spectrum = spectra.stft(audio, 64, 16, taper)
    assert spectrum.shape == (2, 3, 33, 21)
    back = spectra.inverse_stft(spectrum, 64, 16, taper)
    assert back.shape == audio.shape
    torch.testing.assert_close(back[..., 64:-64], audio[..., 64:-64])


def test_audio_padded_by_half_a_window_gives_centred_frames_bit_for_bit() -> None:
    sound = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    window = torch.hann_window(600)
    padded = torch.nn.functional.pad(sound[:, None], (512, 512), mode="reflect")[:, 0]
    wanted = torch.stft(sound, 1024, 120, 600, window, center=True, return_complex=True)
    assert torch.equal(spectra.stft(padded, 1024, 120, window), wanted)


def test_both_transforms_agree() -> None:
    sound = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    wanted = spectra.stft(torch.from_numpy(sound), 512, 128, torch.hann_window(512)).T
    assert spectra.spectra(sound, 512, 128) == pytest.approx(wanted.numpy(), abs=1e-4)
