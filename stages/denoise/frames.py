"""Models that take frames of a fixed length and answer late: any blocks in, aligned blocks out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from wavemill.stages.audio.resample import fitted

Run = Callable[[np.ndarray], np.ndarray]  # float32 (samples,), whole frames, to the same shape


def in_frames(
    blocks: Iterable[np.ndarray], frame: int, delay: int, run: Run
) -> Iterator[np.ndarray]:
    """Pass a stream of float32 (samples,) through `run`, which answers `delay` samples late.

    `run` gets whole frames of `frame` samples, each once and in order. What comes out is aligned
    with the input and has its length, and how the stream is cut into blocks does not matter. What
    is held is a block and less than a frame.
    """
    skip = delay  # what comes out first belongs before the beginning
    taken = given = 0
    rest = np.zeros(0, np.float32)
    for block in blocks:
        taken += block.size
        held = np.concatenate([rest, block])
        whole = held.size - held.size % frame
        rest = held[whole:]
        output = run(held[:whole])[skip:]
        skip -= whole - output.size
        given += output.size
        if output.size:
            yield output
    # Push the last samples through the delay with silence.
    missing = taken - given
    frames = -(-(missing + skip) // frame)
    output = run(fitted(rest, frames * frame))[skip:]
    yield output[:missing]
