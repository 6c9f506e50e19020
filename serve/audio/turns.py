"""Who speaks when: Silero's probabilities, as they come, become the start and the end of turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavemill.serve.audio.formats import Samples
from wavemill.serve.config import TurnRules
from wavemill.stages.diarize.vad import FRAME, SAMPLE_RATE, ProbabilityStream

FRAME_MS = FRAME * 1000 // SAMPLE_RATE


@dataclass(frozen=True)
class Started:
    """Somebody speaks since `start_ms` of all audio of the session, padding included."""

    start_ms: int


@dataclass(frozen=True)
class Stopped:
    """They have finished; `sound` is the turn, float32 (samples,) at 16 kHz."""

    end_ms: int
    sound: Samples


class TurnDetector:
    """Finds turns in one track of 16 kHz. Outside of turns it keeps only the padding.

    A turn that reaches `longest_seconds` ends there, and another may begin at once.
    """

    def __init__(self, session: Any, rules: TurnRules, longest_seconds: float) -> None:
        """`session` is that of `open_session`; several detectors share one."""
        self.rules = rules
        self._stream = ProbabilityStream(session)
        self._longest = round(longest_seconds * SAMPLE_RATE)
        self._rest = np.zeros(0, np.float32)
        self._held: list[Samples] = []  # frames: padding, and what may become a turn
        self._frames = 0  # heard so far
        self._speech = 0  # frames of speech in a row, before a turn
        self._quiet = 0  # frames without speech in a row, in a turn
        self.speaking = False

    def feed(self, samples: Samples) -> Iterator[Started | Stopped]:
        """Take the next samples, (n,) float32 at 16 kHz; yield what they begin and end."""
        self._rest = np.concatenate([self._rest, samples])
        whole = len(self._rest) // FRAME * FRAME
        frames, self._rest = self._rest[:whole].reshape(-1, FRAME), self._rest[whole:]
        if not len(frames):
            return
        self._stream.feed(frames.reshape(-1))
        for frame, probability in zip(frames, self._stream.taken().tolist(), strict=True):
            yield from self._frame(frame, probability)

    def clear(self) -> None:
        """Forget what was heard, as if there had been silence."""
        self._rest = np.zeros(0, np.float32)
        self._held, self._speech, self._quiet, self.speaking = [], 0, 0, False

    def taken(self) -> Samples:
        """Return what belongs to the turn so far, and end it without an event."""
        sound = np.concatenate([*self._held, self._rest])
        self.clear()
        return sound

    def _frame(self, frame: Samples, probability: float) -> Iterator[Started | Stopped]:
        rules = self.rules
        self._frames += 1
        self._held.append(frame)
        release = max(rules.threshold - rules.hysteresis, 0.01)
        if not self.speaking:
            self._speech = self._speech + 1 if probability >= rules.threshold else 0
            self._forget()
            if self._speech and self._speech * FRAME_MS >= rules.min_speech_ms:
                self.speaking, self._quiet = True, 0
                yield Started(max(0, self._frames - len(self._held)) * FRAME_MS)
            return
        self._quiet = self._quiet + 1 if probability < release else 0
        ended = self._quiet * FRAME_MS >= rules.silence_duration_ms
        if ended or len(self._held) * FRAME >= self._longest:
            sound = np.concatenate(self._held)
            # Some of the silence is the padding of what comes next.
            self._held = self._held[-self._padding :] if ended and self._padding else []
            self.speaking, self._speech, self._quiet = False, 0, 0
            yield Stopped(self._frames * FRAME_MS, sound)

    def _forget(self) -> None:
        kept = self._padding + self._speech
        if len(self._held) > kept:
            self._held = self._held[-kept:] if kept else []

    @property
    def _padding(self) -> int:
        return -(-self.rules.prefix_padding_ms // FRAME_MS)
