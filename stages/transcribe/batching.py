"""Clips in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def by_length(
    clips: Sequence[np.ndarray], size: int, work: Callable[[list[np.ndarray]], list[T]]
) -> list[T]:
    """Return what `work` makes of each clip, in order; it is given up to `size` at once.

    Clips of one length need little padding and have texts of about one length.
    """
    order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
    found: dict[int, T] = {}
    for first in range(0, len(order), size):
        some = order[first : first + size]
        found.update(zip(some, work([clips[index] for index in some]), strict=True))
    return [found[index] for index in range(len(clips))]
