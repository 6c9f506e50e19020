"""From the channels of a source to tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from stages.audio.resample import resample_stream
from stages.recording_stage import RecordingError

Channels = Literal["mix", "split"]
MAX_SAMPLE_RATE = 48_000


def tracks_of(
    blocks: Iterable[np.ndarray],
    channels: Channels | Sequence[int | None],
    source_rate: int,
    max_sample_rate: int,
) -> Iterator[np.ndarray]:
    """Turn blocks (channels, samples) into float32 blocks (tracks, samples).

    "mix" takes the mean over channels (one track), "split" makes each channel a track, numbers
    choose channels (None: the mix). Rates above `max_sample_rate` are resampled down to it.
    Raises RecordingError `no_such_channel`.
    """
    if channels == "mix":
        tracks: Iterable[np.ndarray] = (_mixed(block) for block in blocks)
    elif channels == "split":
        tracks = blocks
    else:
        tracks = (_chosen(block, channels) for block in blocks)
    return resample_stream(tracks, source_rate, min(source_rate, max_sample_rate))


def _chosen(block: np.ndarray, channels: Sequence[int | None]) -> np.ndarray:
    missing = [c for c in channels if c is not None and c >= block.shape[0]]
    if missing:
        raise RecordingError(
            "no_such_channel", f"there is no channel {missing[0]}, only {block.shape[0]} channels"
        )
    rows = [_mixed(block)[0] if channel is None else block[channel] for channel in channels]
    return np.stack(rows)


def _mixed(block: np.ndarray) -> np.ndarray:
    return block if block.shape[0] == 1 else block.mean(axis=0, keepdims=True, dtype=np.float32)
