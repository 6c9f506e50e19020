"""Which of a few words is said? For closed sets, as a measure of how well speech is understood.

A transcriber that may answer with anything is at a loss with a single word without context. The
bundled Whisper is asked how likely a text begins with each of the words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavemill.stages.transcribe.faster_whisper import FasterWhisper, FasterWhisperConfig

FAINTEST = 1e-5  # root mean square; a clip below this level is silence


class ClosedSet:
    """Hears one of `words`, which begin with different tokens of Whisper."""

    def __init__(self, words: Sequence[str]) -> None:
        """Load the model. Raises EngineUnavailable, and ValueError for words that begin alike."""
        self._whisper = FasterWhisper(FasterWhisperConfig())
        self._whisper.load("cpu")
        self._words = {
            self._whisper.first_token(spelt): word
            for word in words
            for spelt in (word.lower(), word.capitalize())  # as it may write them
        }
        if len(self._words) < 2 * len(set(words)):
            raise ValueError(f"two of {', '.join(words)} begin alike for Whisper")

    def hear(self, clip: np.ndarray) -> str | None:
        """Return the word of a clip, float32 (samples,) at 16 kHz; None for silence."""
        level = float(np.sqrt(np.mean(np.square(clip)))) if len(clip) else 0.0
        if level < FAINTEST:
            return None
        logits = self._whisper.first_token_logits(clip)
        likely = dict.fromkeys(self._words.values(), 0.0)
        for token, word in self._words.items():
            likely[word] += float(np.exp(logits[token] - logits.max()))
        return max(likely, key=likely.__getitem__)
