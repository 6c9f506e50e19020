"""CAM++ (Wang et al. 2023, arXiv 2303.00332): what a voice sounds like, frame by frame.

The published network embeds a stretch of audio by pooling features of frames. The features are
computed once here, on long stretches, and pooled over any span later. Written after the paper and
3D-Speaker (github.com/modelscope/3D-Speaker, Apache-2.0); the weights are those of its model
`speech_campplus_sv_zh_en_16k-common_advanced`. Equal to 3D-Speaker's own network to 4e-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16_000
WINDOW, HOP, FFT, BANDS = 400, 160, 512, 80  # of Kaldi's filter bank, in samples
FRAME_MS = 20  # of the features: every second frame of the filter bank
CHANNELS = 512  # of the features
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of the three dense blocks
CONTEXT_FRAMES = 100  # that a layer's mask takes the mean of
SHORTEST_CLIP_S = 1.0  # of which a voice can be told


def clip_vector(network: CamPlusPlus, clip: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the unit vector (192,) of the voice in a clip, float32 (samples,) at 16 kHz.

    None for a clip shorter than SHORTEST_CLIP_S.
    """
    if len(clip) < SHORTEST_CLIP_S * SAMPLE_RATE:
        return None
    features = network.features(clip)
    statistics = np.concatenate([features.mean(axis=0), features.std(axis=0, ddof=1)])
    vector = network.embedded(statistics[None])[0]
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


class CamPlusPlus:
    """The network with its weights, on one device."""

    channels = CHANNELS

    def __init__(self, weights: Mapping[str, Tensor], device: str = "cpu") -> None:
        """Raises KeyError for weights of another network."""
        self._device = torch.device(device)
        self._weights = {
            name: value.to(self._device, torch.float32)
            for name, value in weights.items()
            if value.is_floating_point()
        }
        self._scales: dict[str, tuple[Tensor, Tensor]] = {}
        for name in [n.removesuffix(".running_var") for n in weights if n.endswith("running_var")]:
            self._scales[name] = self._scale_and_shift(name)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> CamPlusPlus:
        """Raises OSError, pickle.UnpicklingError (never runs code), KeyError."""
        return cls(torch.load(path, map_location="cpu", weights_only=True), device)

    @torch.inference_mode()
    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one feature per 20 ms of float32 (samples,) at 16 kHz, (frames, 512) float32."""
        bank = filter_bank(samples)
        if not len(bank):
            return np.zeros((0, CHANNELS), np.float32)
        x = torch.from_numpy(bank - bank.mean(axis=0)).to(self._device)
        x = self._head(x.T[None, None])
        x = self._convolved("xvector.tdnn.linear", x, stride=2, padding=2)
        x = self._normalised("xvector.tdnn.nonlinear.batchnorm", x).relu_()
        for block, (layers, dilation) in enumerate(BLOCKS, start=1):
            for layer in range(1, layers + 1):
                new = self._dense_layer(f"xvector.block{block}.tdnnd{layer}", x, dilation)
                x = torch.cat([x, new], dim=1)
            x = self._normalised(f"xvector.transit{block}.nonlinear.batchnorm", x).relu_()
            x = self._convolved(f"xvector.transit{block}.linear", x)
        x = self._normalised("xvector.out_nonlinear.batchnorm", x).relu_()
        return np.ascontiguousarray(x[0].T.cpu().numpy())

    @torch.inference_mode()
    def embedded(self, statistics: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return embeddings (n, 192) of (n, 1024): means and deviations of features."""
        x = torch.from_numpy(np.asarray(statistics, np.float32)).to(self._device)
        x = x @ self._weights["xvector.dense.linear.weight"][:, :, 0].T
        x = self._normalised("xvector.dense.nonlinear.batchnorm", x)
        return np.asarray(x.cpu().numpy())

    def _head(self, x: Tensor) -> Tensor:
        """Two-dimensional convolutions over (1, 1, bands, frames); returns (1, 320, frames)."""
        x = self._convolved2("head.conv1", "head.bn1", x).relu_()
        for layer in ("head.layer1", "head.layer2"):
            for index, stride in ((0, 2), (1, 1)):
                name = f"{layer}.{index}"
                y = self._convolved2(f"{name}.conv1", f"{name}.bn1", x, stride).relu_()
                y = self._convolved2(f"{name}.conv2", f"{name}.bn2", y)
                if stride != 1:
                    weight = self._weights[f"{name}.shortcut.0.weight"]
                    x = F.conv2d(x, weight, stride=(stride, 1))
                    x = self._normalised(f"{name}.shortcut.1", x)
                x = (x + y).relu_()
        x = self._convolved2("head.conv2", "head.bn2", x, 2).relu_()
        return x.reshape(1, -1, x.shape[-1])

    def _dense_layer(self, name: str, x: Tensor, dilation: int) -> Tensor:
        x = self._normalised(f"{name}.nonlinear1.batchnorm", x).relu_()
        x = self._convolved(f"{name}.linear1", x)
        x = self._normalised(f"{name}.nonlinear2.batchnorm", x).relu_()
        local = self._convolved(f"{name}.cam_layer.linear_local", x, 1, dilation, dilation)
        near = F.avg_pool1d(x, CONTEXT_FRAMES, CONTEXT_FRAMES, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + near
        mask = self._convolved(f"{name}.cam_layer.linear1", context).relu_()
        mask = self._convolved(f"{name}.cam_layer.linear2", mask).sigmoid_()
        return local * mask.repeat_interleave(CONTEXT_FRAMES, dim=-1)[..., : x.shape[-1]]

    def _convolved(
        self, name: str, x: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias")
        return F.conv1d(x, weight, bias, stride, padding, dilation)

    def _convolved2(self, conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        x = F.conv2d(x, self._weights[f"{conv}.weight"], stride=(stride, 1), padding=1)
        return self._normalised(norm, x)

    def _normalised(self, name: str, x: Tensor) -> Tensor:
        scale, shift = self._scales[name]
        shape = (1, -1, *[1] * (x.ndim - 2))
        return torch.addcmul(shift.view(shape), x, scale.view(shape))

    def _scale_and_shift(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a batch normalisation as a product and a sum."""
        mean, variance = (self._weights[f"{name}.running_{of}"] for of in ("mean", "var"))
        scale = (variance + 1e-5).rsqrt() * self._weights.get(f"{name}.weight", 1.0)
        return scale, self._weights.get(f"{name}.bias", 0.0) - mean * scale


def filter_bank(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return Kaldi's log mel filter bank, (frames, 80) float32, 10 ms apart; no dither.

    As `torchaudio.compliance.kaldi.fbank(num_mel_bins=80, dither=0)` of samples in 16 bit units.
    """
    count = (len(samples) - WINDOW) // HOP + 1
    if count < 1:
        return np.zeros((0, BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.float32(32768)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - np.float32(0.97) * before) * _povey()
    power = np.abs(np.fft.rfft(frames, FFT)[:, : FFT // 2]) ** 2
    energy = power.astype(np.float32) @ _mel_filters()
    return np.log(np.maximum(energy, np.finfo(np.float32).eps))


@lru_cache(maxsize=1)
def _povey() -> NDArray[np.float32]:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    return (hann**0.85).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> NDArray[np.float32]:
    """Return triangles from 20 to 8000 Hz, (256, 80); Kaldi leaves the highest bin out."""

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    low, high = mel(np.array([20.0, SAMPLE_RATE / 2]))
    edges = np.linspace(low, high, BANDS + 2)
    bins = mel(np.arange(FFT // 2) * SAMPLE_RATE / FFT)[:, None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(up, down)).astype(np.float32)
