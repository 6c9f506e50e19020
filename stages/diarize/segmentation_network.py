"""Segmentation 3.0 (Plaquet and Bredin 2023): how many speak, every 17 ms of windows of 10 s.

The published network, PyanNet of pyannote.audio (github.com/pyannote/pyannote-audio, MIT): filters
of SincNet, four bidirectional LSTM layers, and a class for each set of at most two of the three
speakers that a window may have. Which speaker is meant is of no use here, since speakers are told
apart by their voices: only whether somebody speaks, and whether several do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16_000
WINDOW = 10 * SAMPLE_RATE  # samples that the network was trained on
FRAME = 270  # samples from one frame to the next
FIRST = 360  # samples before the first frame: it hears 991 samples around its own FRAME
FRAMES = 589  # of a window
LAYERS, HIDDEN = 4, 128  # of the LSTM
STRIDE = 10  # of the first filters; each pooling takes one of three
LOWEST_HZ = 50.0  # of a filter, and of its width
CLASSES = 7  # nobody; the first, second, third speaker; three pairs of them
ALONE = slice(1, 4)


class SegmentationNetwork:
    """The network with its weights, on one device."""

    def __init__(self, weights: Mapping[str, Tensor], device: str = "cpu") -> None:
        """Raises KeyError or ValueError for weights of another network."""
        self._device = torch.device(device)
        self._weights = {n: w.to(self._device, torch.float32) for n, w in weights.items()}
        if len(self._weights["classifier.bias"]) != CLASSES:
            raise ValueError(f"they know {len(self._weights['classifier.bias'])} classes")
        self._filters = _sinc_filters(self._weights)
        self._lstm = torch.nn.LSTM(
            60, HIDDEN, num_layers=LAYERS, bidirectional=True, batch_first=True
        ).to(self._device)
        own = {n.removeprefix("lstm."): w for n, w in weights.items() if n.startswith("lstm.")}
        try:
            self._lstm.load_state_dict(own)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> SegmentationNetwork:
        """Raises OSError, pickle.UnpicklingError (never runs code), KeyError, ValueError."""
        found = torch.load(path, map_location="cpu", weights_only=True)
        return cls(found["state_dict"], device)

    @torch.inference_mode()
    def chances(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the chance that somebody, and that several, speak in each frame.

        `windows`: float32 (n, WINDOW) at 16 kHz. Returns float32 (n, FRAMES, 2).
        """
        x = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device)[:, None]
        x = self._normalised("sincnet.wav_norm1d", x)
        x = F.conv1d(x, self._filters, stride=STRIDE).abs_()
        x = self._pooled(0, x)
        for layer in (1, 2):
            x = self._pooled(layer, self._convolved(f"sincnet.conv1d.{layer}", x))
        x, _ = self._lstm(x.transpose(1, 2))
        for layer in (0, 1):
            x = F.leaky_relu(self._linear(f"linear.{layer}", x))
        chances = self._linear("classifier", x).softmax(dim=-1)
        nobody, alone = chances[..., 0], chances[..., ALONE].sum(dim=-1)
        both = torch.stack([1 - nobody, (1 - nobody - alone).clamp_(min=0)], dim=-1)
        return np.asarray(both.cpu().numpy())

    def _pooled(self, layer: int, x: Tensor) -> Tensor:
        return F.leaky_relu(self._normalised(f"sincnet.norm1d.{layer}", F.max_pool1d(x, 3)))

    def _normalised(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.instance_norm(x, weight=weight, bias=bias)

    def _convolved(self, name: str, x: Tensor) -> Tensor:
        return F.conv1d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


def _sinc_filters(weights: Mapping[str, Tensor]) -> Tensor:
    """Return the band-pass filters, (80, 1, 251): 40 even ones, and the same 40 odd."""
    name = "sincnet.conv1d.0.filterbank"
    low = LOWEST_HZ + weights[f"{name}.low_hz_"].abs()
    high = (low + LOWEST_HZ + weights[f"{name}.band_hz_"].abs()).clamp(LOWEST_HZ, SAMPLE_RATE / 2)
    times, taper = weights[f"{name}.n_"], weights[f"{name}.window_"]  # the half before the middle
    width = high - low
    even = ((high @ times).sin() - (low @ times).sin()) / (times / 2) * taper
    odd = ((low @ times).cos() - (high @ times).cos()) / (times / 2) * taper
    filters = torch.cat(
        [
            torch.cat([even, 2 * width, even.flip(1)], dim=1),
            torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1),
        ]
    )
    return (filters / (2 * torch.cat([width, width])))[:, None]
