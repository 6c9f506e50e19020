"""What every model is asked and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class ModelError(Exception):
    """A model cannot be asked at all (no weights, wrong key, no server): says what to mend."""


@dataclass(frozen=True)
class ModelInput:
    """One item as a model hears it."""

    item_id: str
    prompt: str
    system: str | None = None
    audio: np.ndarray | None = None  # float32 (samples,) mono, 16 kHz; None: words alone


@dataclass(frozen=True)
class Speech:
    """What a model said aloud, and how fast it came."""

    samples: np.ndarray  # float32 (samples,) mono
    rate: int  # Hz
    first_chunk_s: float  # seconds from the question to the first sound
    total_s: float  # seconds from the question to the end of the sound


@dataclass(frozen=True)
class Answer:
    """What came back for one item; `error` instead of a text when nothing did."""

    text: str = ""
    error: str | None = None
    complete: bool = True  # it ended by itself, not at a limit
    seconds: float = 0.0  # of the whole batch, by its size
    speech: Speech | None = None


class Model(Protocol):
    """Answers items, several at once. One that is wrong in itself raises ModelError."""

    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        """Return one answer per item, in order."""
        ...
