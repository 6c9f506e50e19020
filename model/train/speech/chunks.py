"""Chunks for the flow network to learn in, as `MelStream` decodes: who sees whom.

A frame sees all of its own chunk and, of earlier chunks, the newest `history` frames as they were
read when clean. So a training step needs two passes: one over the clean frames, whose keys and
values are the history of every chunk, and one over the noisy frames behind it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_chunks(
    lengths: Tensor, shortest: int, longest: int, multiple: int, generator: torch.Generator
) -> Tensor:
    """Return the number of each frame's chunk: int64 (batch, longest length), from 0.

    `lengths` int64 (batch,), in frames. An utterance's chunks have `shortest` to `longest` frames,
    each drawn alone, in steps of `multiple` (the frames of a token); the last has what is left.
    """
    frames = int(lengths.max())
    sizes = torch.arange(-(-shortest // multiple), longest // multiple + 1) * multiple
    rows = []
    for _ in range(len(lengths)):
        drawn = torch.randint(len(sizes), (-(-frames // int(sizes[0])),), generator=generator)
        numbers = torch.arange(len(drawn)).repeat_interleave(sizes[drawn])
        rows.append(numbers[:frames])
    return torch.stack(rows)


def visible(chunks: Tensor, real: Tensor, history: int) -> tuple[Tensor, Tensor]:
    """Return what frames see: of earlier chunks, and of their own; bool (batch, 1, T, T) both.

    `chunks` int64 (batch, T), rising; `real` bool (batch, T), False at padding. A padded frame sees
    itself, since attention over nothing is no number.
    """
    places = torch.arange(chunks.shape[1], device=chunks.device)
    first = torch.searchsorted(chunks.contiguous(), chunks.contiguous())  # of a frame's own chunk
    query, key = chunks[:, :, None], chunks[:, None, :]
    seen = real[:, None, :]
    recent = places >= first[:, :, None] - history
    earlier = (key < query) & recent & seen
    own = (key == query) & (seen | torch.eye(len(places), dtype=torch.bool, device=chunks.device))
    return earlier[:, None], own[:, None]
