"""The engines that the denoise stage knows."""

from __future__ import annotations

from typing import Any

from stages.denoise.bsrnn import BSRNN
from stages.denoise.demucs import DemucsVocals
from stages.denoise.none import NoDenoise
from stages.denoise.rnnoise import RNNoise
from stages.engine import Engine

ENGINES: dict[str, type[Engine[Any]]] = {
    "rnnoise": RNNoise,
    "bsrnn": BSRNN,
    "demucs": DemucsVocals,
    "none": NoDenoise,
}
