"""DNSMOS P.835 (Reddy et al. 2022), the model file inside the wheel of `speechmos`.

The wheel's own Python code imports librosa and requests, computes a second model (P.808) that is
not wanted here, and calls the model once per second of audio. This engine reads the weights of the
model file, computes what windows have in common once (dnsmos_network.py) and hears the same
windows. In float32 the scores of a clip that the package hears whole are equal; in int8, a quarter
of the arithmetic, they differ by 0.02 in the mean (benchmarks/dnsmos.md).
The package loses windows of longer clips: it cuts them at int((i + 9.01) * 16000), which rounding
leaves one sample short for i = 7..23 and others, and it skips short ones; so of a clip of 27 s it
hears the first 15 s. Here every window counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig, package_identity
from wavemill.stages.score_audio.dnsmos_network import HOP, ROW, DnsmosNetwork
from wavemill.stages.score_audio.dnsmos_windows import window_maps
from wavemill.stages.score_audio.engine import Quality, QualityEngine

SAMPLE_RATE = 16_000  # Hz
WINDOW_SECONDS = 9.01  # what the model was trained on
WINDOW = int(WINDOW_SECONDS * SAMPLE_RATE)  # 144160 samples
MODEL = Path("dnsmos_models") / "sig_bak_ovr.onnx"
WEIGHTS = BundledFile(
    "speechmos",
    "speechmos",
    MODEL.as_posix(),
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    licence="MIT",
    source="https://github.com/microsoft/DNS-Challenge",
    size=1_157_965,
)

# The model's raw outputs are mapped onto the scale of the listening tests by these polynomials
# (highest power first), published with the model.
SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND = (-0.13166888, 1.60915514, -0.39604546)
OVERALL = (-0.06766283, 1.11546468, 0.04602535)


class DnsmosConfig(EngineConfig):
    """Where the windows of 9.01 s are placed, and how exactly the network computes."""

    # Rounded to 0.02 s. Windows share most of their price (benchmarks/dnsmos.md).
    hop_seconds: float = Field(default=1.0, ge=0.02)
    # float32: the package's numbers, in three times the CPU time
    precision: Literal["int8", "float32"] = "int8"
    batch_windows: int = Field(default=4, ge=1)  # windows per call; bounds memory
    # Shorter clips are not rated: the model hears 9 s, and a word repeated thirty times to fill
    # them tells little for its price.
    shortest_seconds: float = Field(default=1.0, ge=0)


class Dnsmos(QualityEngine[DnsmosConfig]):
    """The mean over a clip's windows; a clip shorter than a window is repeated to fill it."""

    name = "dnsmos"
    version = 2
    Config = DnsmosConfig
    packages = ("speechmos", "onnxruntime")

    _network: DnsmosNetwork

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def weights_identity(self) -> str:
        return package_identity("speechmos")

    def weights(self) -> Sequence[Declared]:
        return (WEIGHTS,)

    def load(self, device: str) -> None:
        """Rebuild the network on one thread; `device` is ignored, the model is small."""
        del device
        content = WEIGHTS.checked().read_bytes()
        self._network = DnsmosNetwork(content, int8=self.config.precision == "int8")

    def quality(self, clips: Sequence[np.ndarray]) -> list[Quality | None]:
        shortest = self.config.shortest_seconds * SAMPLE_RATE
        return [self._rate(clip) if clip.size >= shortest else None for clip in clips]

    def _rate(self, clip: np.ndarray) -> Quality:
        audio = repeated(clip)
        starts = window_starts(audio.size, self.config.hop_seconds)
        maps = window_maps(self._network, audio, starts, self.config.batch_windows)
        raw = np.concatenate([self._network.score(windows) for windows in maps]).astype(np.float64)
        return Quality(
            overall=float(np.polyval(OVERALL, raw[:, 2]).mean()),
            signal=float(np.polyval(SIGNAL, raw[:, 0]).mean()),
            background=float(np.polyval(BACKGROUND, raw[:, 1]).mean()),
        )


def repeated(clip: np.ndarray) -> np.ndarray:
    """Return the clip as float32, doubled until it fills a window, as the package does.

    Raises ValueError for an empty clip.
    """
    if not clip.size:
        raise ValueError("an empty clip cannot be rated")
    audio = np.ascontiguousarray(clip, dtype=np.float32)
    while len(audio) < WINDOW:
        audio = np.concatenate([audio, audio])
    return audio


def window_starts(samples: int, hop_seconds: float) -> list[int]:
    """Return where the windows of at least WINDOW samples begin, in frames of HOP samples.

    They begin every `hop_seconds`, on even frames; the last one at floor(seconds) - 9.01 at the
    latest, as in the package.
    """
    spare = max(0.0, samples // SAMPLE_RATE - WINDOW_SECONDS)
    last = (samples - WINDOW) // (ROW * HOP)  # rounding must not lead beyond the clip
    rows = (
        round(i * hop_seconds * SAMPLE_RATE / (ROW * HOP))
        for i in range(int(spare / hop_seconds) + 1)
    )
    return [ROW * min(row, last) for row in rows]


def model_file() -> Path:
    """Find the model without importing the package. Raises EngineUnavailable."""
    return WEIGHTS.located()
