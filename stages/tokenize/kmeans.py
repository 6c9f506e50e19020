"""Semantic tokens by a k-means codebook over log-mel stacks of 80 ms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from wavemill.model.tokenizer.kmeans import SAMPLE_RATE
from wavemill.stages.declared import Declared, LocalFiles
from wavemill.stages.engine import EngineConfig
from wavemill.stages.tokenize.codebook import (
    SHIPPED,
    Codebook,
    codebook_identity,
    load_codebook,
    stacks_of,
)
from wavemill.stages.tokenize.engine import TokenizeEngine


class KMeansConfig(EngineConfig):
    """Which codebook: a path, or null for the one that ships with the package."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"codebook"})

    codebook: Path | None = None


class KMeans(TokenizeEngine[KMeansConfig]):
    """Each 80 ms is the nearest centroid; a centroid is four log-mel frames.

    Unlike the report's tokenizer it was not trained to keep meaning: a stand-in for laptops and
    tests, with the same interface and rate.
    """

    name = "kmeans"
    version = 1
    Config = KMeansConfig

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    @property
    def vocab_size(self) -> int:
        return len(self.codebook.centroids)

    @property
    def path(self) -> Path:
        return self.config.codebook or SHIPPED

    @cached_property
    def codebook(self) -> Codebook:
        return load_codebook(self.path)

    def weights_identity(self) -> str:
        return codebook_identity(self.path)

    def weights(self) -> Sequence[Declared]:
        """Return a codebook of one's own; that of the project is part of it."""
        own = self.config.codebook
        return () if own is None else (LocalFiles(own, "codebook"),)

    def load(self, device: str) -> None:
        """Read the codebook; `device` does not matter."""
        del device
        _ = self.codebook

    def tokens(self, clips: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
        return [
            self.codebook.nearest(stacks_of(clip, count))
            for clip, count in zip(clips, counts, strict=True)
        ]
