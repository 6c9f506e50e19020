"""Several prompts as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One row: two streams of equal length, and the features of its audio segments."""

    audio_ids: Tensor  # int64 (positions,)
    text_ids: Tensor  # int64 (positions,)
    continuous: Tensor  # bool (positions,): where features are added
    features: Sequence[Tensor] = ()  # a segment each, float (rows, feature_width)


@dataclass(frozen=True)
class Batch:
    """Arguments of `AudioLlm.forward`; see there."""

    audio_ids: Tensor
    text_ids: Tensor
    continuous: Tensor
    features: Tensor | None
    attention_mask: Tensor | None  # None when no row is padded
    position_ids: Tensor

    def to(self, device: str | torch.device) -> Batch:
        """Return the same on another device."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {n: None if t is None else t.to(device) for n, t in given.items()}
        return Batch(**moved)


def collate(samples: Sequence[Sample], pad: int, left: bool = False) -> Batch:
    """Pad samples to the longest with id `pad`, on the right or on the `left` (to generate).

    Positions restart at each row's first real token, so that a row gives the same as alone.
    Raises ValueError when a segment's features do not fit (see `pack`).
    """
    longest = max(len(sample.audio_ids) for sample in samples)

    def stack(rows: Sequence[Tensor], value: int) -> Tensor:
        padded = []
        for row in rows:
            gap = longest - len(row)
            sides = (gap, 0) if left else (0, gap)
            padded.append(torch.nn.functional.pad(row, sides, value=value))
        return torch.stack(padded)

    real = stack([torch.ones_like(sample.audio_ids) for sample in samples], 0)
    packed = [pack(sample.continuous, sample.features) for sample in samples if sample.features]
    continuous = stack([s.continuous & bool(s.features) for s in samples], 0).bool()
    return Batch(
        audio_ids=stack([sample.audio_ids for sample in samples], pad),
        text_ids=stack([sample.text_ids for sample in samples], pad),
        continuous=continuous,
        features=torch.cat(packed) if packed else None,
        attention_mask=None if real.all() else real,
        position_ids=(real.cumsum(1) - 1).clamp_min(0),
    )


def pack(continuous: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the features of one row, one after another, (continuous positions, feature_width).

    The i-th run of True in `continuous`, bool (positions,), is the i-th segment and takes the
    first rows of the i-th feature; rows beyond its end are dropped, as in the published code.
    Raises ValueError when there are fewer rows than positions, or other segments than features.
    """
    bounds = torch.diff(torch.nn.functional.pad(continuous.to(torch.int8), (1, 1)))
    starts, ends = (torch.nonzero(bounds == sign).flatten().tolist() for sign in (1, -1))
    if len(starts) != len(features):
        raise ValueError(f"{len(features)} features for {len(starts)} audio segments")
    rows = []
    for number, (start, end, feature) in enumerate(zip(starts, ends, features, strict=True)):
        if len(feature) < end - start:
            raise ValueError(
                f"segment {number} has {end - start} positions, its feature {len(feature)} rows"
            )
        rows.append(feature[: end - start])
    return torch.cat(rows) if rows else torch.zeros(0, 0)
