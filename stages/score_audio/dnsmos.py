"""DNSMOS P.835 (Reddy et al. 2022), the model file inside the wheel of `speechmos`.

The wheel's own Python code imports librosa and requests, computes a second model (P.808) that is
not wanted here, and calls the model once per second of audio. This engine calls the model file
directly, with several windows a call. On clips that the package hears whole the scores are equal.
The package loses windows of longer clips: it cuts them at int((i + 9.01) * 16000), which rounding
leaves one sample short for i = 7..23 and others, and it skips short ones; so of a clip of 27 s it
hears the first 15 s. Here every window counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig, EngineUnavailable, package_identity
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
    """Where the windows of 9.01 s are placed.

    A window costs 0.38 s of a core, whatever is in it, so the hop decides the price of the score.
    Over all segments of 10 to 27 s in nine half-minute meeting extracts, a hop of 5 s needs 0.25
    of the windows that the package's hop of 1 s needs and is off by 0.061 of overall MOS in the
    mean, 0.18 at the 95th percentile (3 s: 0.37, 0.034, 0.10; 9 s: 0.17, 0.096, 0.27).
    """

    hop_seconds: float = Field(default=5.0, gt=0)
    batch_windows: int = Field(default=4, ge=1)  # windows per call; bounds memory
    # Shorter clips are not rated: the model hears 9 s, and a word repeated thirty times to fill
    # them tells little for its price.
    shortest_seconds: float = Field(default=1.0, ge=0)


class Dnsmos(QualityEngine[DnsmosConfig]):
    """The mean over a clip's windows; a clip shorter than a window is repeated to fill it."""

    name = "dnsmos"
    version = 1
    Config = DnsmosConfig
    packages = ("speechmos", "onnxruntime")

    _session: Any = None

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def weights_identity(self) -> str:
        return package_identity("speechmos")

    def weights(self) -> Sequence[Declared]:
        return (WEIGHTS,)

    def load(self, device: str) -> None:
        """Open the model on one thread; `device` is ignored, the model is small."""
        del device
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable(
                "package 'onnxruntime' is not installed; remedy: pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model_file()), options, providers=["CPUExecutionProvider"]
        )

    def quality(self, clips: Sequence[np.ndarray]) -> list[Quality | None]:
        shortest = self.config.shortest_seconds * SAMPLE_RATE
        return [self._rate(clip) if clip.size >= shortest else None for clip in clips]

    def _rate(self, clip: np.ndarray) -> Quality:
        windows = windows_of(clip, self.config.hop_seconds)
        step = self.config.batch_windows
        raw = np.concatenate(
            [
                self._session.run(None, {"input_1": np.stack(windows[i : i + step])})[0]
                for i in range(0, len(windows), step)
            ]
        ).astype(np.float64)
        return Quality(
            overall=float(np.polyval(OVERALL, raw[:, 2]).mean()),
            signal=float(np.polyval(SIGNAL, raw[:, 0]).mean()),
            background=float(np.polyval(BACKGROUND, raw[:, 1]).mean()),
        )


def windows_of(clip: np.ndarray, hop_seconds: float) -> list[np.ndarray]:
    """Return the clip's windows, float32 (WINDOW,) each, placed as the package places them.

    A shorter clip is doubled until it fills a window. Windows begin every `hop_seconds`; the last
    one begins at floor(seconds) - 9.01 at the latest. Raises ValueError for an empty clip.
    """
    if not clip.size:
        raise ValueError("an empty clip cannot be rated")
    audio = np.ascontiguousarray(clip, dtype=np.float32)
    while len(audio) < WINDOW:
        audio = np.concatenate([audio, audio])
    spare = max(0.0, len(audio) // SAMPLE_RATE - WINDOW_SECONDS)
    starts = [round(i * hop_seconds * SAMPLE_RATE) for i in range(int(spare / hop_seconds) + 1)]
    return [audio[start : start + WINDOW] for start in starts]


def model_file() -> Path:
    """Find the model without importing the package. Raises EngineUnavailable."""
    return WEIGHTS.located()
