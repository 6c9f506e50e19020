"""What a session hears: bytes of the client become turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wavemill.serve.audio.formats import Format, Samples, decoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.audio.turns import Started, Stopped, TurnDetector
from wavemill.serve.realtime.settings import SessionSettings
from wavemill.stages.diarize.vad import SAMPLE_RATE

SHORTEST = SAMPLE_RATE // 10  # samples that can be committed by hand, as in the protocol


class TooLong(Exception):
    """There is no room for more audio before a commit."""


class Ear:
    """The audio since the last commit: with turn detection the turn, otherwise all of it."""

    def __init__(self, vad: Any, longest_seconds: float) -> None:
        self._vad, self._longest = vad, longest_seconds
        self._format = Format.PCM
        self._rates = Resampler(Format.PCM.rate, SAMPLE_RATE)
        self._turns: TurnDetector | None = None
        self._buffer: list[Samples] = []
        self._length = 0

    def set(self, settings: SessionSettings) -> None:
        """Heed new settings. Another way to end turns, or format, begins with nothing heard."""
        if settings.hears is not self._format:
            self._format = settings.hears
            self._rates = Resampler(self._format.rate, SAMPLE_RATE)
            self.clear()
        wanted = settings.turn_detection
        if (wanted is None) is not (self._turns is None):
            self.clear()
            self._turns = None
        if wanted is not None and self._turns is None:
            self._turns = TurnDetector(self._vad, wanted.rules, self._longest)
        elif wanted is not None and self._turns is not None:
            self._turns.rules = wanted.rules

    def feed(self, content: bytes) -> Iterator[Started | Stopped]:
        """Take bytes of the client; yield what they begin and end.

        Raises AudioRefused and, without turn detection, TooLong.
        """
        samples = self._rates.push(decoded(content, self._format))
        if self._turns is not None:
            yield from self._turns.feed(samples)
            return
        if self._length + len(samples) > self._longest * SAMPLE_RATE:
            raise TooLong(f"a turn may have {self._longest:g} s of audio; commit or clear")
        self._buffer.append(samples)
        self._length += len(samples)

    def clear(self) -> None:
        """Forget what was not committed."""
        self._buffer, self._length = [], 0
        self._rates.push(np.zeros(0, np.float32), last=True)
        if self._turns is not None:
            self._turns.clear()

    def commit(self) -> Samples | None:
        """Return what a client commits, float32 (samples,) at 16 kHz; None: it is too little."""
        rest = self._rates.push(np.zeros(0, np.float32), last=True)
        held = self._buffer if self._turns is None else [self._turns.taken()]
        self._buffer, self._length = [], 0
        sound = np.concatenate([*held, rest])
        return sound if len(sound) >= SHORTEST else None
