"""Engines of semantic and of text tokens, by name."""

from stages.tokenize.kmeans import KMeans
from stages.tokenize.whisper_bpe import WhisperBpe

ENGINES = {KMeans.name: KMeans}
TEXT_ENGINES = {WhisperBpe.name: WhisperBpe}
