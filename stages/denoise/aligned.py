"""Original and enhanced blocks of all tracks, side by side, from one pass over the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from wavemill.stages.audio.resample import rechunk, resample_stream
from wavemill.stages.denoise.engine import DenoiseEngine


class _Shared:
    """Hands each track its part of the same blocks, as far as each has asked for them.

    Every block is kept until it was given back as an original, so that what is held is what the
    engines have taken in and not yet returned: one or two blocks per track.
    """

    def __init__(self, blocks: Iterator[np.ndarray], tracks: int) -> None:
        self._blocks = blocks
        self._waiting: list[deque[np.ndarray]] = [deque() for _ in range(tracks)]
        self.originals: list[deque[np.ndarray]] = [deque() for _ in range(tracks)]

    def of(self, track: int) -> Iterator[np.ndarray]:
        while True:
            if not self._waiting[track]:
                block = next(self._blocks, None)
                if block is None:
                    return
                for number, waiting in enumerate(self._waiting):
                    waiting.append(np.ascontiguousarray(block[number]))
            mono = self._waiting[track].popleft()
            self.originals[track].append(mono)
            yield mono


def aligned_blocks(
    engine: DenoiseEngine, audio: Iterator[np.ndarray], tracks: int, sample_rate: int, length: int
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Yield, for each block of `length` samples, one (original, enhanced) pair per track.

    `audio` is float32 (tracks, samples) at `sample_rate`; the pairs are float32 (samples,), equal
    in length and aligned. The engine runs at its own rate, once per track.
    """
    shared = _Shared(rechunk(audio, length), tracks)
    enhanced = [
        rechunk(_enhanced(engine, shared.of(track), sample_rate), length) for track in range(tracks)
    ]
    for blocks in zip(*enhanced, strict=True):
        yield [(shared.originals[track].popleft(), block) for track, block in enumerate(blocks)]


def _enhanced(
    engine: DenoiseEngine, audio: Iterator[np.ndarray], sample_rate: int
) -> Iterator[np.ndarray]:
    rate = engine.sample_rate or sample_rate
    length = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal length
        for block in audio:
            length += block.size
            yield block

    # Up and down again may round the total by a sample: the end is fitted to the original.
    given = 0
    waiting: np.ndarray | None = None
    for block in resample_stream(
        engine.enhance(resample_stream(counted(), sample_rate, rate)), rate, sample_rate
    ):
        if waiting is not None:
            given += waiting.size
            yield waiting
        waiting = block
    last = waiting if waiting is not None else np.zeros(0, np.float32)
    missing = length - given - last.size
    yield np.pad(last, (0, missing)) if missing > 0 else last[: length - given]
