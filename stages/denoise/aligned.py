"""Enhanced blocks that lie exactly on the original ones, for all tracks side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, tee

import numpy as np

from wavemill.stages.audio.resample import rechunk, resample_stream
from wavemill.stages.denoise.engine import DenoiseEngine


def enhanced_blocks(
    engine: DenoiseEngine, blocks: Iterable[Sequence[np.ndarray]], sample_rate: int
) -> Iterator[list[np.ndarray]]:
    """Yield, for each of `blocks`, its enhanced version: one array for each track.

    Arrays are float32 (samples,) at `sample_rate`. All blocks are as long as the first, but the
    last, which may be shorter. The engine runs at its own rate, once for each track; what is held
    is what it has taken in and not yet returned: one or two blocks of each track.
    """
    source = iter(blocks)
    first = next(source, None)
    if first is None:
        return
    length = len(first[0])
    copies = tee(chain([first], source), len(first))
    enhanced = [
        rechunk(_enhanced(engine, _of_track(copy, track), sample_rate), length)
        for track, copy in enumerate(copies)
    ]
    for tracks in zip(*enhanced, strict=True):
        yield list(tracks)


def _of_track(blocks: Iterable[Sequence[np.ndarray]], track: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[track]


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
