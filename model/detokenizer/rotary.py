"""Positions of frames: rotary embedding of queries and keys, and the ranked sinusoids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wavemill.model.detokenizer.config import RopeSettings

Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32 (..., frames, 1, head_size / 2)


def rotation(positions: Tensor, head_size: int, settings: RopeSettings) -> Rotation:
    """Return the rotation of integer `positions` (..., frames), computed in float32.

    Pair i turns by position / factor * base^(-2i / head_size) (fixtures: detokenizer, section 2).
    The published table ends at 4096 rows; here any position has a rotation.
    """
    pairs = torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / settings.rope_base ** (pairs / head_size)
    scaled = positions.float() / settings.rope_interpolation_factor
    angles = (scaled[..., None] * frequencies)[..., None, :]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, by: Rotation | None) -> Tensor:
    """Rotate adjacent pairs of `x` (..., frames, heads, head_size) in float32; dtype of `x`.

    `by` None, for a network without rotary embedding, returns `x`.
    """
    if by is None:
        return x
    cos, sin = by
    even, odd = x.float()[..., 0::2], x.float()[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


class RankedSinusoids(nn.Module):
    """The published `sincos` embedding, which numbers the frames of each call from one.

    Frames at a position other than 0 get rows 1, 2, 3, ... in their order, position 0 gets zeros:
    a network trained so never sees absolute positions, and its checkpoint needs the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 2
        self.register_buffer("_float_tensor", torch.zeros(1))  # unused; stands in checkpoints

    def forward(self, positions: Tensor) -> Tensor:
        """Turn int64 (..., frames) into float32 (..., frames, width): sines, then cosines."""
        seen = positions != 0
        ranks = seen.cumsum(-1)
        steps = torch.arange(self.pairs, device=positions.device, dtype=torch.float32)
        frequencies = 10_000.0 ** (-steps / (self.pairs - 1))
        angles = ranks[..., None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1) * seen[..., None]
