"""From the channels of a source to tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from stages.audio.resample import resample_stream

Channels = Literal["mix", "split"]
MAX_SAMPLE_RATE = 48_000


def tracks_of(
    blocks: Iterable[np.ndarray], channels: Channels, source_rate: int, max_sample_rate: int
) -> Iterator[np.ndarray]:
    """Turn blocks (channels, samples) into float32 blocks (tracks, samples).

    "mix" takes the mean over channels (one track), "split" makes each channel a track. Rates
    above `max_sample_rate` are resampled down to it.
    """
    tracks = (_mixed(block) for block in blocks) if channels == "mix" else blocks
    return resample_stream(tracks, source_rate, min(source_rate, max_sample_rate))


def _mixed(block: np.ndarray) -> np.ndarray:
    return block if block.shape[0] == 1 else block.mean(axis=0, keepdims=True, dtype=np.float32)
