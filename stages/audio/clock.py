"""From milliseconds to samples, the same everywhere."""

from __future__ import annotations

import math


def sample_at(ms: int, sample_rate: int) -> int:
    """Return the index of the sample at `ms`, rounded to the nearest, halves up."""
    return (ms * sample_rate + 500) // 1000


def duration_ms(samples: int, sample_rate: int) -> int:
    """Return the duration of so many samples in milliseconds, rounded up."""
    return math.ceil(samples * 1000 / sample_rate)
