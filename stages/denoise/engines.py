"""The engines that the denoise stage knows."""

from __future__ import annotations

from typing import Any

from wavemill.stages.denoise.bsrnn import BSRNN
from wavemill.stages.denoise.deepfilternet import DeepFilterNet
from wavemill.stages.denoise.demucs import DemucsVocals
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.none import NoDenoise
from wavemill.stages.denoise.rnnoise import RNNoise

ENGINES: dict[str, type[DenoiseEngine[Any]]] = {
    "deepfilternet": DeepFilterNet,
    "rnnoise": RNNoise,
    "bsrnn": BSRNN,
    "demucs": DemucsVocals,
    "none": NoDenoise,
}
