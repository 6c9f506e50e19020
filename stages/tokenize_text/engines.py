"""Engines of text tokens, by name."""

from typing import Any

from wavemill.stages.tokenize_text.engine import TextTokenizeEngine
from wavemill.stages.tokenize_text.whisper_bpe import WhisperBpe

ENGINES: dict[str, type[TextTokenizeEngine[Any]]] = {WhisperBpe.name: WhisperBpe}
