"""One model of time for everything that is read: where each piece of audio lies, and what lacks.

Time runs from the zero of the container. Audio that starts late, or after a hole in the times,
comes after silence; what no time is known of follows what went before, by its samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from wavemill.stages.audio.limits import DecodeLimits

P = TypeVar("P")
ROUNDING_S = 0.001  # of times in containers that count milliseconds


class Times(StrEnum):
    """What the times of a format's packets are worth."""

    SET = "set"  # by whoever recorded it: a hole is silence, or was lost on the way
    NUMBERED = "numbered"  # frames have numbers and leave no holes: one that is missing is lost
    COUNTED = "counted"  # FFmpeg counts them itself: they say nothing


class Kind(StrEnum):
    """Why a recording lacks audio in a place."""

    GAP = "gap"  # its times leave a hole
    DAMAGE = "damage"  # bytes of it cannot be decoded


@dataclass(frozen=True, slots=True)
class Missing:
    """A place where a recording lacks audio."""

    start_s: float
    end_s: float
    kind: Kind
    filled: bool  # with silence; else what follows comes too early by its length

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(slots=True)
class Piece(Generic[P]):
    """A frame or a packet: some audio in a row."""

    payload: P
    time_s: float | None  # as the container says
    seconds: float
    lost_s: float = 0.0  # estimate of what was lost right before it
    damaged: bool = False  # something was lost there


@dataclass(slots=True)
class Clock:
    """Puts one piece after the other on the time line of the container."""

    times: Times
    limits: DecodeLimits
    zero_s: float = 0.0
    slack: bool = False  # the container may give a frame the time of the one before it
    exact: bool = True  # the lengths of pieces are; else small differences follow their times
    end_s: float = 0.0  # of the audio so far
    missing: list[Missing] = field(default_factory=list)

    def placed(self, pieces: Iterable[Piece[P]]) -> Iterator[tuple[Missing | None, Piece[P]]]:
        """Yield each piece with what is missing before it. One piece is looked ahead."""
        waiting: Piece[P] | None = None
        for piece in pieces:
            if waiting is not None:
                yield self._place(waiting, piece.time_s), waiting
            waiting = piece
        if waiting is not None:
            yield self._place(waiting, None), waiting

    def _place(self, piece: Piece[P], following_s: float | None) -> Missing | None:
        hole_s = self._hole(piece, following_s)
        lack = None
        if hole_s > 0:
            kind = Kind.GAP
            bytes_missing = piece.lost_s * 2 > hole_s
            if piece.damaged or bytes_missing or self.times != Times.SET:
                kind = Kind.DAMAGE
            filled = hole_s * 1000 <= self.limits.gap_ms
            lack = Missing(self.end_s, self.end_s + hole_s, kind, filled)
            self.missing.append(lack)
            if filled:
                self.end_s += hole_s
            else:
                self.zero_s += hole_s
        self.end_s += piece.seconds
        return lack

    def _hole(self, piece: Piece[P], following_s: float | None) -> float:
        """Return how many seconds are missing before a piece."""
        if piece.time_s is None or self.times == Times.COUNTED:
            return piece.lost_s
        ahead_s = piece.time_s - self.zero_s - self.end_s
        jitter_s = self.limits.jitter_ms / 1000 + (piece.seconds if self.slack else 0)
        # Another recording was joined on, or the clock was set anew: its times begin there.
        restart_s = jitter_s if self.times == Times.NUMBERED else self.limits.gap_ms / 1000
        if ahead_s < -max(jitter_s, restart_s):
            self.zero_s += ahead_s
            return piece.lost_s
        if piece.damaged:
            return ahead_s if ahead_s > ROUNDING_S else 0.0
        if ahead_s <= jitter_s:
            # What lies before zero primes the codec: decoders take it away, packets hold it.
            if not self.exact and (ahead_s >= -jitter_s or self.end_s == 0):
                self.end_s += ahead_s
            return 0.0
        if following_s is not None:  # does the next piece stand where it would without the hole?
            unmoved_s = following_s - self.zero_s - self.end_s - piece.seconds
            if abs(unmoved_s) <= jitter_s:
                return 0.0
        return ahead_s
