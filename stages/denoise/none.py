"""No enhancement: for corpora that want the recordings as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.engine import EngineConfig


class NoDenoise(DenoiseEngine[EngineConfig]):
    """Passes the audio through; 'enhanced' is then a copy of 'original'."""

    name = "none"
    sample_rate = None

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None:
        """There is nothing to load."""

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        yield from audio
