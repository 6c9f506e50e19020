"""What an engine for perceived quality of speech is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavemill.stages.engine import C, Engine


@dataclass(frozen=True, slots=True)
class Quality:
    """Mean opinion scores, 1 (bad) to 5 (excellent)."""

    overall: float
    signal: float  # how undistorted the speech is
    background: float  # how unobtrusive the background is


class QualityEngine(Engine[C]):
    """Predicts how people would rate a clip of speech."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """The rate in Hz at which `quality` wants its clips."""

    @abstractmethod
    def quality(self, clips: Sequence[np.ndarray]) -> list[Quality | None]:
        """Rate `clips`: float32 (samples,) in [-1, 1] at `sample_rate`, at least one sample each.

        The rating of a clip depends on that clip alone; None: too short to be rated.
        """
