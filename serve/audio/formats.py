"""Samples as clients send them: 16-bit PCM at 24 kHz, or G.711 at 8 kHz (mu-law and A-law)."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Format(StrEnum):
    """The names of the protocol."""

    PCM = "audio/pcm"
    MU_LAW = "audio/pcmu"
    A_LAW = "audio/pcma"

    @property
    def rate(self) -> int:
        return 24_000 if self is Format.PCM else 8_000

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return 2 if self is Format.PCM else 1


class AudioRefused(ValueError):
    """Bytes of a client are not the audio that they should be: says why."""


def decoded(content: bytes, form: Format) -> Samples:
    """Return float32 (samples,) in [-1, 1] at the format's rate; raises AudioRefused."""
    if len(content) % form.width:
        raise AudioRefused(f"{len(content)} bytes are not whole samples of {form.width} bytes")
    if form is Format.PCM:
        return (np.frombuffer(content, "<i2") / 32768).astype(np.float32)
    levels = _levels(form)[np.frombuffer(content, np.uint8)]
    return (levels / 32768).astype(np.float32)


def encoded(samples: Samples, form: Format) -> bytes:
    """Return the bytes of float32 (samples,) at the format's rate; what is too loud is clipped."""
    whole = np.clip(np.rint(samples * 32768), -32768, 32767)
    if form is Format.PCM:
        return whole.astype("<i2").tobytes()
    levels = _levels(form)
    order = np.argsort(levels, kind="stable")
    middles = (levels[order][1:] + levels[order][:-1]) / 2
    return order[np.searchsorted(middles, whole)].astype(np.uint8).tobytes()


@lru_cache
def _levels(form: Format) -> Samples:
    """Return the level of each of the 256 codes (ITU-T G.711), float32 (256,) as 16-bit values."""
    codes = np.arange(256)
    if form is Format.MU_LAW:
        bits = ~codes & 0xFF
        exponent, mantissa = bits >> 4 & 7, bits & 15
        magnitude = ((mantissa * 8 + 132) << exponent) - 132
        return np.where(bits & 0x80, -magnitude, magnitude).astype(np.float32)
    bits = codes ^ 0x55
    exponent, mantissa = bits >> 4 & 7, bits & 15
    step = mantissa * 16 + 8
    magnitude = np.where(exponent == 0, step, (step + 256) << np.maximum(exponent - 1, 0))
    return np.where(bits & 0x80, magnitude, -magnitude).astype(np.float32)
