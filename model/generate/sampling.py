"""One token out of scores (docs/published-format.md)."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

GREEDY_BELOW = 1e-6  # temperatures up to here take the best token


class Sampling(BaseModel):
    """How a stream's tokens are drawn; the defaults take the best."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(0.0, ge=0)
    top_k: int = Field(5, ge=0)  # draw among so many; 0: among all
    repetition_penalty: float = Field(1.0, ge=0)  # of tokens seen lately; up to 1: none
    repetition_window: int = Field(64, ge=1)  # tokens back; sleeps until there are more

    @property
    def penalises(self) -> bool:
        return self.repetition_penalty > 1.0


def sample(
    logits: Tensor, recent: Tensor, settings: Sampling, generator: torch.Generator | None = None
) -> Tensor:
    """Return one id a row, int64 (rows,), from `logits` (rows, vocabulary) of any float dtype.

    `recent`, int64 (rows, steps), are the ids that the stream was fed so far. Unlike the
    published sampler, this one leaves `logits` alone and penalises every row of a batch. Raises
    ValueError when top_k exceeds the vocabulary.
    """
    scores = penalised(logits, recent, settings)
    if settings.temperature <= GREEDY_BELOW:
        return scores.float().log_softmax(-1).argmax(-1)
    weights, ids = candidates(scores, settings)
    drawn = torch.multinomial(weights, 1, generator=generator)
    return ids.gather(1, drawn).squeeze(1)


def penalised(logits: Tensor, recent: Tensor, settings: Sampling) -> Tensor:
    """Return `logits` (rows, vocabulary) with the last window of `recent` ids scored down, once."""
    if not settings.penalises or recent.shape[1] <= settings.repetition_window:
        return logits
    ids = recent[:, -settings.repetition_window :].long()
    scores = logits.gather(1, ids)
    penalty = settings.repetition_penalty
    return logits.scatter(1, ids, torch.where(scores < 0, scores * penalty, scores / penalty))


def candidates(logits: Tensor, settings: Sampling) -> tuple[Tensor, Tensor]:
    """Return weights, float32 (rows, top_k), and ids of the tokens to draw from, best first.

    The weights are powers of probabilities and do not add up to one; the draw normalises them.
    """
    if settings.top_k > logits.shape[1]:
        raise ValueError(f"top_k is {settings.top_k}, the vocabulary has {logits.shape[1]} ids")
    weights = (logits.float().log_softmax(-1) / settings.temperature).exp()
    return weights.topk(settings.top_k or logits.shape[1])
