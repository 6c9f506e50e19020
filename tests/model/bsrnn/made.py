"""Small networks and folders of audio for tests of the Band-Split RNN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch

from wavemill.model.bsrnn.clips import find_clips
from wavemill.model.bsrnn.config import BsrnnConfig
from wavemill.model.bsrnn.learner import TrainSettings
from wavemill.model.bsrnn.mixing import Mixer, MixSettings
from wavemill.model.bsrnn.network import Bsrnn

SMALL = BsrnnConfig(bands="coarse", features=8, hidden=8, pairs=1, mask_hidden=8)
SHORT = MixSettings(seconds=0.25)


def small_network(seed: int = 0, config: BsrnnConfig = SMALL) -> Bsrnn:
    """Random weights of which the last layers are large enough to change the audio."""
    torch.manual_seed(seed)
    network = Bsrnn(config)
    for estimate in (network.mask, network.residual):
        for layer in estimate.gated if estimate is not None else ():
            torch.nn.init.normal_(layer.weight, std=0.3)
    return network.eval()


def with_constant_mask(network: Bsrnn, gain: float) -> Bsrnn:
    """Make every mask value `gain` (real) and every residual 0, whatever the input."""
    for estimate, value in ((network.mask, gain), (network.residual, 0.0)):
        assert estimate is not None
        for layer in estimate.gated:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            torch.nn.init.constant_(layer.bias[: layer.out_features // 2 : 2], 2 * value)
    return network


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def voice(samples: int, rate: int, pitch: float) -> np.ndarray:
    """Harmonics that swell and fade four times a second."""
    time = np.arange(samples) / rate
    tones = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9))
    return (0.1 * tones * np.sin(4 * np.pi * time) ** 2).astype(np.float32)


def audio_folders(root: Path) -> dict[str, Path]:
    """Two voices, two noises and a room: `*_b` are the ones to hold out."""
    folders = {name: root / name for name in ("clean", "noise", "rooms")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for letter, pitch in (("a", 120.0), ("b", 190.0)):
        soundfile.write(
            folders["clean"] / f"voice_{letter}.wav", voice(16_000, 16_000, pitch), 16_000
        )
        soundfile.write(folders["noise"] / f"noise_{letter}.wav", noise(8_000, ord(letter)), 8_000)
    fading = noise(4_000, 3) * np.exp(-np.arange(4_000) / 800).astype(np.float32)
    fading[100] = 0.9  # the direct sound, after a delay
    soundfile.write(folders["rooms"] / "room.wav", fading, 16_000)
    return folders


def small_mixer(root: Path, settings: MixSettings = SHORT) -> Mixer:
    folders = audio_folders(root)
    return Mixer(*(find_clips([folders[name]]) for name in ("clean", "noise", "rooms")), settings)


def small_settings() -> TrainSettings:
    return TrainSettings(
        network=SMALL, mix=SHORT, batch=2, learning_rate=1e-2, half_life_steps=1000
    )
