"""Running a model over a stream in overlapping windows that fade into each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from stages.audio.resample import rechunk

Process = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def windows(blocks: Iterable[np.ndarray], length: int, stride: int) -> Iterator[np.ndarray]:
    """Cut a stream of float32 blocks (samples,) into windows that begin `stride` samples apart.

    Windows have `length` samples, the last one what is left; it always reaches beyond the one
    before. An empty stream has none.
    """
    held = np.zeros(0, np.float32)
    for block in rechunk(blocks, stride):
        held = np.concatenate([held, block])
        while held.size > length:
            yield held[:length]
            held = held[stride:]
    if held.size:
        yield held


def cross_faded(
    blocks: Iterable[np.ndarray], process: Process, length: int, overlap: float, batch: int
) -> Iterator[np.ndarray]:
    """Process a stream in windows of `length` samples, `overlap` (0 <= o < 1) of it shared.

    `process` maps up to `batch` windows to as many outputs of the same lengths. Where windows
    overlap, outputs are averaged with triangular weights, highest in the middle of a window, as
    demucs.apply.apply_model does: up to one half of overlap this is a linear cross-fade. What
    comes out is aligned with the input, of the same total length, and does not depend on how the
    input is cut into blocks. Holds about `batch` + 2 windows.
    """
    stride = max(1, int((1 - overlap) * length))
    weight = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)).astype(np.float32)
    total, weights = np.zeros(length, np.float32), np.zeros(length, np.float32)
    pieces = windows(blocks, length, stride)
    ready = 0  # samples of `total` that are waiting for the next window
    while group := list(islice(pieces, batch)):
        for output in process(group):
            if ready:
                given = min(stride, ready)
                yield total[:given] / weights[:given]
                total, weights = _advanced(total, given), _advanced(weights, given)
            ready = output.size
            total[:ready] += weight[:ready] * output
            weights[:ready] += weight[:ready]
    if ready:
        yield total[:ready] / weights[:ready]


def _advanced(values: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([values[count:], np.zeros(count, values.dtype)])
