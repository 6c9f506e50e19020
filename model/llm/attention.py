"""Which position sees which, and where a position is."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary(
    positions: Tensor, width: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of `positions` (batch, count): (batch, count, width), `dtype`.

    Computed in float32 and then rounded, as the published tables are; the two halves of a head
    are rotated against each other.
    """
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=positions.device)
    angles = positions[..., None].float() * (1.0 / theta ** (steps / width))
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def visible(slots: Tensor, keys: int, real: Tensor | None) -> Tensor:
    """Return what each query sees, bool (batch or 1, 1, queries, keys).

    `slots` int64 (queries,) are the queries' own places among `keys`; `real` (batch, <= keys) is
    False or 0 where a key is padding. A query sees every real key up to its own place, and always
    itself: a padded query with nothing to see would give values that are not numbers.
    """
    places = torch.arange(keys, device=slots.device)
    seen = (places <= slots[:, None])[None]
    if real is not None:
        padded = torch.nn.functional.pad(real.bool(), (0, keys - real.shape[1]), value=True)
        seen = seen & padded[:, None] | (places == slots[:, None])
    return seen[:, None]
