"""What a tokenizer of audio is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from wavemill.stages.engine import C, Engine


class TokenizeEngine(Engine[C]):
    """Turns audio into semantic tokens, 12.5 a second (report section 2.2)."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """The rate in Hz at which `tokens` wants its clips."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Tokens are from 0 to vocab_size - 1; known without `load`."""

    @abstractmethod
    def tokens(self, clips: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
        """Return int32 (counts[i],) for each of `clips`: float32 (samples,) at `sample_rate`.

        A clip that ends before its count of tokens does is filled up with silence. The tokens of
        a clip depend on that clip alone.
        """
