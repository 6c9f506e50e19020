"""The mel front end, without fixtures."""

from __future__ import annotations

import pytest
import torch

from wavemill.model.detokenizer.config import VocoderConfig
from wavemill.model.detokenizer.mel import log_mel, mel_filters

CONFIG = VocoderConfig(win_size=1024, fmax=12_000)


@pytest.mark.parametrize("samples", [480, 959, 960, 24_000])
def test_a_frame_per_hop(samples: int) -> None:
    assert log_mel(torch.zeros(2, 3, samples), CONFIG).shape == (2, 3, samples // 480, 80)


def test_too_short() -> None:
    with pytest.raises(ValueError, match="479 samples"):
        log_mel(torch.zeros(479), CONFIG)


def test_a_tone_is_in_the_bands_around_it() -> None:
    audio = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(24_000) / 24_000)
    loudest = log_mel(audio, CONFIG)[25].argmax()
    band = torch.from_numpy(mel_filters(CONFIG))[loudest]
    hertz = band.argmax() * 24_000 / 1024
    assert abs(float(hertz) - 1000) < 60


def test_filters_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(sr=24_000, n_fft=1024, n_mels=80, fmin=20, fmax=11_000)
    config = CONFIG.model_copy(update={"fmin": 20, "fmax": 11_000})
    assert abs(mel_filters(config) - wanted).max() < 1e-7
