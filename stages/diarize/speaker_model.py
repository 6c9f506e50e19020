"""Voices of whole clips, comparable across recordings, by a pyannote.audio embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.diarize.pyannote import SAMPLE_RATE, imported
from wavemill.stages.diarize.pyannote_weights import load_model, local_model
from wavemill.stages.diarize.span_embedding import SpanEmbedder, SpanWindows

BATCH = 32  # windows at once


class SpeakerModel:
    """The model of one checkpoint, on the CPU."""

    sample_rate = SAMPLE_RATE

    def __init__(self, checkpoint: Path) -> None:
        """Raises EngineUnavailable for a checkpoint that is not there or is no such model."""
        package = imported()
        model = load_model(local_model(checkpoint, "--speaker-model"))
        self._embedding = package.PretrainedSpeakerEmbedding(model)

    def voices(self, clips: Sequence[np.ndarray]) -> list[NDArray[np.float32]]:
        """Return a unit vector (d,) float32 for each clip, float32 (samples,) at 16 kHz."""
        import torch

        def vectors(batch: NDArray[np.float32]) -> NDArray[np.floating]:
            return np.asarray(self._embedding(torch.from_numpy(batch)[:, None]))

        found = []
        for clip in clips:
            shortest = self._embedding.min_num_samples
            embedder = SpanEmbedder(clip, SAMPLE_RATE, vectors, shortest, SpanWindows(), BATCH)
            found.append(embedder([(0, 1000 * clip.size // SAMPLE_RATE)])[0])
        return found
