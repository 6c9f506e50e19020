"""Engines of semantic and of text tokens, by name."""

from typing import Any

from wavemill.stages.tokenize.engine import TextTokenizeEngine, TokenizeEngine
from wavemill.stages.tokenize.kmeans import KMeans
from wavemill.stages.tokenize.whisper_bpe import WhisperBpe
from wavemill.stages.tokenize.whisper_vq import WhisperVq

ENGINES: dict[str, type[TokenizeEngine[Any]]] = {KMeans.name: KMeans, WhisperVq.name: WhisperVq}
TEXT_ENGINES: dict[str, type[TextTokenizeEngine[Any]]] = {WhisperBpe.name: WhisperBpe}
