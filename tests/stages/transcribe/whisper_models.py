"""Small Whisper models for tests, saved in the package's own format."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from whisper.model import ModelDimensions, Whisper

from tests.support import ROOT, audio_folder

RATE = 16_000
DIGITS = ROOT / "tests" / "data" / "digits-whisper.pt"
HELD_OUT = 5  # the checkpoint was trained on recordings from this index on
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MULTILINGUAL = 51_865

torch.set_num_threads(1)  # as in a worker; two threads only wait for each other at this size


def random_checkpoint(path: Path, vocabulary: int = MULTILINGUAL, half: bool = False) -> Path:
    """Save a model of random weights, as the package reads them."""
    torch.manual_seed(0)
    dims = ModelDimensions(80, 1500, 16, 2, 1, vocabulary, 32, 16, 2, 2)
    state = Whisper(dims).state_dict()
    state["decoder.positional_embedding"] = torch.randn(32, 16)  # the package leaves it unset
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"dims": asdict(dims), "model_state_dict": state}, path)
    return path


def digit_clips(speaker: str = "*") -> list[tuple[str, np.ndarray]]:
    """Return (word, samples at 16 kHz) of the held-out digits, or skip the test."""
    found = []
    for path in sorted((audio_folder() / "digits").glob(f"*_{speaker}_[0-{HELD_OUT - 1}].wav")):
        samples, rate = soundfile.read(path, dtype="float32")
        word = NAMES[int(path.stem.split("_")[0])]
        found.append((word, soxr.resample(samples, rate, RATE)))
    if not found:
        pytest.skip("no spoken digits beside the real recordings")
    return found


def joined(clips: list[np.ndarray], gap_s: float = 0.2) -> np.ndarray:
    gap = np.zeros(int(gap_s * RATE), np.float32)
    return np.concatenate([part for clip in clips for part in (clip, gap)])
