"""Which id follows: penalties, the best id, or a draw (docs/published-format.md, "Sampling").

A draw takes the id with the largest weight divided by noise, where the noise is exponentially
distributed: that id comes in proportion to the weights, and the noise of a row is its own, whatever
it is batched with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from wavemill.model.generate.settings import Sampling

Stream = Literal["audio", "text"]


class Draws:
    """The draws of one row: its noise, from a seed, and what its streams have read lately."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.recent: dict[Stream, list[int]] = {"audio": [], "text": []}

    def noise(self, settings: Sampling, vocabulary: int) -> Tensor | None:
        """Return the noise of the next draw, float32 (candidates,) on the CPU; None: no draw."""
        if not settings.draws:
            return None
        noise = torch.empty(settings.top_k or vocabulary)
        return noise.exponential_(generator=self._generator)

    def remember(self, stream: Stream, id_: int, settings: Sampling) -> None:
        """Note what a stream reads next."""
        if settings.penalises:
            self.recent[stream] = [*self.recent[stream], id_][-(settings.repetition_window + 1) :]


def chosen(
    logits: Tensor,
    settings: Sampling,
    recent: Sequence[Sequence[int]],
    noise: Sequence[Tensor | None],
) -> Tensor:
    """Return one id per row, int64 (rows,), from `logits` (rows, vocabulary) of any float dtype.

    `recent` are the ids that the stream of each row has read so far, and `noise` that of its draw
    (None: the best id is taken; of all rows or of none). Unlike the published sampler, this one
    leaves `logits` unchanged and penalises every row of a batch.
    """
    scores = penalised(logits, recent, settings)
    drawn = [one for one in noise if one is not None]
    if not drawn:
        return scores.float().log_softmax(-1).argmax(-1)
    weights, ids = candidates(scores, settings)
    against = torch.stack(drawn).to(weights.device, non_blocking=True)
    return ids.gather(1, (weights / against).argmax(-1, keepdim=True)).squeeze(1)


def penalised(logits: Tensor, recent: Sequence[Sequence[int]], settings: Sampling) -> Tensor:
    """Return `logits` (rows, vocabulary) with lower scores for the last window of `recent` ids.

    An id that occurs several times in the window is penalised once. A row that has not read more
    ids than its window has is not penalised.
    """
    window, penalty = settings.repetition_window, settings.repetition_penalty
    rows = [row for row, ids in enumerate(recent) if len(ids) > window]
    if not settings.penalises or not rows:
        return logits
    ids = torch.tensor([list(recent[row][-window:]) for row in rows], device=logits.device)
    scores = logits[rows].gather(1, ids)
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    changed = logits.clone()
    changed[rows] = logits[rows].scatter(1, ids, lowered)
    return changed


def candidates(logits: Tensor, settings: Sampling) -> tuple[Tensor, Tensor]:
    """Return weights, float32 (rows, top_k), and ids of the tokens to draw from, best first.

    The weights are a softmax of the largest logits divided by the temperature. They are in
    proportion to the published ones, the powers of probabilities, which become 0 for all tokens at
    low temperatures.
    """
    best, ids = logits.float().topk(settings.top_k or logits.shape[1])
    return (best / settings.temperature).softmax(-1), ids
