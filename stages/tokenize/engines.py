"""Engines of semantic tokens, by name."""

from typing import Any

from wavemill.stages.tokenize.engine import TokenizeEngine
from wavemill.stages.tokenize.kmeans import KMeans
from wavemill.stages.tokenize.whisper_vq import WhisperVq

ENGINES: dict[str, type[TokenizeEngine[Any]]] = {KMeans.name: KMeans, WhisperVq.name: WhisperVq}
