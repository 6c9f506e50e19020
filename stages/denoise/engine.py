"""What a denoise engine does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from wavemill.stages.engine import C, Engine


class DenoiseEngine(Engine[C]):
    """Removes noise from a stream of mono audio."""

    sample_rate: ClassVar[int | None]  # of input and output, in Hz; None: any

    @abstractmethod
    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Enhance one track: float32 blocks (samples,) of any lengths, full scale at 1.0.

        What comes out is aligned with the input sample by sample and has the same total length
        (its blocks may be cut differently). Nothing is carried over from one call to the next,
        and several calls may be under way at once (the channels of a recording).
        """
