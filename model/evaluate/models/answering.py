"""The interface of models: what they get and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class ModelError(Exception):
    """A model cannot be used at all (no weights, wrong key, no server); says what to mend."""


@dataclass(frozen=True)
class ModelInput:
    """One item as a model gets it."""

    item_id: str
    prompt: str
    system: str | None = None
    audio: np.ndarray | None = None  # float32 (samples,) mono, 16 kHz; None: only text


@dataclass(frozen=True)
class Speech:
    """A spoken answer, and how fast it came."""

    samples: np.ndarray  # float32 (samples,) mono
    rate: int  # Hz
    first_chunk_s: float  # seconds from the question to the first audio


@dataclass(frozen=True)
class Answer:
    """The answer to one item, or an `error` if there is none."""

    text: str = ""
    error: str | None = None
    complete: bool = True  # the answer ended by itself, not at a limit
    seconds: float = 0.0  # of the whole batch, divided by its size
    speech: Speech | None = None


class Model(Protocol):
    """Answers items, several at once. Raises ModelError if the model itself does not work."""

    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        """Return one answer per item, in order."""
        ...
