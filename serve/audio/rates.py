"""A stream of samples at another rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavemill.serve.audio.formats import Samples
from wavemill.stages.audio.resample import QUALITY


class Resampler:
    """One signal, piece by piece; soxr holds a few milliseconds back until `last`."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._rates = source_rate, target_rate
        self._stream = self._new()

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """Return what float32 (samples,) give; `last` gives the rest, and another signal begins."""
        if self._stream is None:
            return samples
        given = np.ascontiguousarray(samples, np.float32)
        found: Samples = self._stream.resample_chunk(given, last=last)
        if last:
            self._stream = self._new()
        return found

    def _new(self) -> Any:
        if self._rates[0] == self._rates[1]:
            return None
        import soxr

        return soxr.ResampleStream(*self._rates, 1, dtype="float32", quality=QUALITY)
