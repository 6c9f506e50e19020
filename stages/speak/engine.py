"""What a speak engine is given and what it returns."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from wavemill.stages.engine import C, Engine


@dataclass(frozen=True, slots=True)
class Saying:
    """A text to be said: words and punctuation, no digits or symbols."""

    text: str
    voice: str  # as the engine names its voices
    pace: float = 1.0  # 1.2: a fifth faster than the engine speaks by itself
    seed: int = 0  # another one, another attempt at the same text


class UnknownVoice(Exception):
    """The engine has no voice of this name; says which there are."""


class NotSpoken(Exception):
    """The engine could not speak a text; `passing`: it may later (a server is down)."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class SpeakEngine(Engine[C]):
    """Says a text in a voice. The same saying gives the same samples, if the engine can do so."""

    @abstractmethod
    def speak(self, saying: Saying) -> tuple[np.ndarray, int]:
        """Return float32 (samples,), full scale 1.0, and their rate in Hz.

        Raises UnknownVoice, and NotSpoken for a text that it can make nothing of.
        """
