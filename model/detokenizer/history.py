"""What a chunk sees of earlier frames: keys and values of every block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue, rotate


@dataclass(frozen=True)
class History:
    """Frames in order, never changed in place, so that streams can share one.

    `blocks` holds per block keys (not rotated) and values (1, frames, heads, head_size),
    `positions` int64 (frames,). Keys are rotated when they are used, so a frame can get another
    position later.
    """

    blocks: tuple[KeyValue, ...]
    positions: Tensor
    next_position: int = 0
    protected: int = 0  # leading frames that `recent` keeps: the voice

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def empty(cls, network: FlowNetwork) -> History:
        """Return a history of no frames on the network's device and in its dtype."""
        config, like = network.config, network.input_linear.weight
        none = like.new_zeros(1, 0, config.num_heads, config.head_size)
        return cls(
            ((none, none),) * config.depth, torch.zeros(0, dtype=torch.int64, device=like.device)
        )

    def upcoming(self, frames: int) -> Tensor:
        """Return the positions of the next frames: int64 (frames,)."""
        first = self.next_position
        return torch.arange(first, first + frames, device=self.positions.device)

    def past(self, network: FlowNetwork) -> list[KeyValue]:
        """Return rotated keys and values per block, as `FlowNetwork.forward` takes them."""
        rotation = network.rotation(self.positions)
        return [(rotate(key, rotation), value) for key, value in self.blocks]

    def extended(self, key_values: Sequence[KeyValue]) -> History:
        """Return this history and the next frames behind it."""
        blocks = tuple(
            (torch.cat((key, new_key), 1), torch.cat((value, new_value), 1))
            for (key, value), (new_key, new_value) in zip(self.blocks, key_values, strict=True)
        )
        frames = key_values[0][0].shape[1]
        positions = torch.cat((self.positions, self.upcoming(frames)))
        return replace(
            self, blocks=blocks, positions=positions, next_position=self.next_position + frames
        )

    def recent(self, limit: int) -> History:
        """Return the protected frames and the newest others, `limit` in all; positions stay."""
        dropped = len(self) - limit
        if dropped <= 0:
            return self
        kept = torch.arange(len(self), device=self.positions.device)
        kept = torch.cat((kept[: self.protected], kept[self.protected + dropped :]))
        blocks = tuple((key[:, kept], value[:, kept]) for key, value in self.blocks)
        return replace(self, blocks=blocks, positions=self.positions[kept])

    def renumbered(self) -> History:
        """Return the same frames at positions 0, 1, 2, ...: what was dropped leaves no gap.

        Attention sees differences of positions only, so nothing else changes, and positions stay
        below the length of the history however long the stream is.
        """
        positions = torch.arange(len(self), device=self.positions.device)
        return replace(self, positions=positions, next_position=len(self))

    def protect(self) -> History:
        """Return the same frames, all protected."""
        return replace(self, protected=len(self))
