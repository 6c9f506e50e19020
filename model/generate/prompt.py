"""A prompt as the LLM reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wavemill.model.prompt.layout import Layout


@dataclass(frozen=True)
class LlmPrompt:
    """The tensors of one prompt: two streams of equal length, and the features of its audio."""

    audio_ids: Tensor  # int64 (positions,)
    text_ids: Tensor  # int64 (positions,)
    continuous: Tensor  # bool (positions,): where acoustic features are added
    features: Sequence[Tensor] = ()  # one per audio segment, float (rows, feature_width)

    @classmethod
    def of(cls, layout: Layout, features: Sequence[Tensor] = ()) -> LlmPrompt:
        """Return a conversation that is laid out, with the features of its audio."""
        return cls(
            torch.tensor(layout.audio_ids),
            torch.tensor(layout.text_ids),
            torch.tensor(layout.continuous),
            features,
        )

    def packed(self) -> Tensor | None:
        """Return the features of all segments (continuous positions, feature_width), if any.

        Raises ValueError where they do not fit (see `pack`).
        """
        return pack(self.continuous, self.features) if self.features else None


def pack(continuous: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the features of one row, one after another, (continuous positions, feature_width).

    The i-th run of True in `continuous`, bool (positions,), is the i-th audio segment and takes
    the first rows of the i-th feature; the rest of its rows are dropped, as in the published code.
    Raises ValueError when a feature has fewer rows than its segment has positions, or when there
    are more or fewer segments than features.
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
