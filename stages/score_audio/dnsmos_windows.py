"""The windows of a clip over one map: computed block by block, kept as long as windows need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wavemill.stages.score_audio.dnsmos_network import (
    EDGE,
    FRAME,
    FRAMES,
    HOP,
    ROW,
    SHARED_BANDS,
    SHARED_CHANNELS,
    DnsmosNetwork,
)

BLOCK = 300  # frames that go through the network together: 3 s
_ROWS, _EDGE_ROWS = FRAMES // ROW, EDGE // ROW


def window_maps(
    network: DnsmosNetwork,
    audio: np.ndarray,
    starts: Sequence[int],
    batch: int,
    block: int = BLOCK,
) -> Iterator[np.ndarray]:
    """Yield the maps of windows, `batch` at a time, as `network.score` takes them.

    `audio` is float32 (samples,), `starts` are frames where windows begin, even and ascending;
    `block` is even. Each map equals that of its window alone. No more than the windows of a batch
    and a block are in memory.
    """
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]
    frames = frames[: starts[-1] + FRAMES]
    held = np.empty((0, SHARED_BANDS, SHARED_CHANNELS), network.dtype)
    at = 0  # row of the clip's map that `held` begins with
    for i in range(0, len(starts), batch):
        group = [start // ROW for start in starts[i : i + batch]]
        end = at + len(held)
        held = np.concatenate(
            [
                held[group[0] - at :],
                *_rows(network, frames, max(end, group[0]) * ROW, group[-1] * ROW + FRAMES, block),
            ]
        )
        at = group[0]
        windows = np.stack([held[start - at : start - at + _ROWS] for start in group])
        if len(starts) > 1:  # else the window is all that the network was given
            _set_edges(network, windows, frames, starts[i : i + batch])
        yield windows


def _rows(
    network: DnsmosNetwork, frames: np.ndarray, start: int, stop: int, block: int
) -> Iterator[np.ndarray]:
    """Yield the map of `frames` from `start` to `stop`, as it is within all of them."""
    for first in range(start, stop, block):
        last = min(first + block, stop)
        before, after = max(0, first - EDGE), min(len(frames), last + EDGE)
        found = network.shared(frames[None, before:after])[0]
        yield found[(first - before) // ROW : (last - before) // ROW]


def _set_edges(
    network: DnsmosNetwork, windows: np.ndarray, frames: np.ndarray, starts: Sequence[int]
) -> None:
    """Write the rows of `windows` at their borders as they are with zeros outside."""
    width = 2 * EDGE
    begins = [frames[start : start + width] for start in starts]
    ends = [frames[start + FRAMES - width : start + FRAMES] for start in starts]
    found = network.shared(np.stack(begins + ends))
    windows[:, :_EDGE_ROWS] = found[: len(starts), :_EDGE_ROWS]
    windows[:, -_EDGE_ROWS:] = found[len(starts) :, -_EDGE_ROWS:]
