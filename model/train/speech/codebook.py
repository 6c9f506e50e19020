"""A codebook that is learnt by moving averages, and whose dead codes come back to life.

Codes are means of the hidden states that chose them, over the last steps (van den Oord et al.
2017, appendix A.1; as glm-4-voice-tokenizer is trained). No gradient reaches them.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, distributed, nn

LEAST_COUNT = 1e-12  # of a moving count; keeps the division finite


class CodebookSettings(BaseModel):
    """The published values, where a public configuration of glm-4-voice-tokenizer has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decay: float = Field(0.99, ge=0, lt=1)  # of the moving averages, a step
    dead_after_steps: int = Field(100, ge=1)  # a code that nothing chose for so long is replaced


class MovingCodebook(nn.Module):
    """What training adds to `VqEncoder`'s codebook, `ema_count` and `ema_weight`.

    Every code is dead at first, so the first steps fill the codebook with their hidden states.
    """

    idle: Tensor

    def __init__(self, size: int, width: int, settings: CodebookSettings) -> None:
        super().__init__()
        self.settings = settings
        self.size, self.width = size, width
        start = torch.full((size,), settings.dead_after_steps, dtype=torch.int64)
        self.register_buffer("idle", start)  # steps since a code was last chosen
        self._hidden: list[Tensor] = []  # of the step, one entry a micro-batch
        self._codes: list[Tensor] = []

    def collect(self, hidden: Tensor, codes: Tensor) -> None:
        """Note what a micro-batch chose: hidden states (N, width), codes int64 (N,)."""
        self._hidden.append(hidden.detach().float())
        self._codes.append(codes.detach())

    @torch.no_grad()
    def update(self, codebook: Tensor, count: Tensor, weight: Tensor, seed: int) -> int:
        """Move `codebook` (size, width), `count` (size,) and `weight` (size, width), in place.

        Returns how many codes came back to life.

        All workers see the same sums and end with the codes that one worker would have. What
        revives a dead code is a hidden state of the step, drawn by `seed`, each at most once: with
        fewer of them than dead codes, some wait for the next step.
        """
        parts, codes = self._taken(codebook)
        hidden = torch.cat(parts)
        chosen = torch.bincount(codes, minlength=self.size).float()
        sums = torch.zeros_like(weight).index_add_(0, codes, hidden)
        if distributed.is_initialized():
            distributed.all_reduce(chosen)
            distributed.all_reduce(sums)
        decay = self.settings.decay
        count.mul_(decay).add_(chosen, alpha=1 - decay)
        weight.mul_(decay).add_(sums, alpha=1 - decay)
        used = chosen > 0
        codebook[used] = weight[used] / count[used, None].clamp_min(LEAST_COUNT)
        self.idle += 1
        self.idle[used] = 0
        return self._revive(codebook, count, weight, parts, seed)

    def alive(self) -> Tensor:
        """Return the share of codes that were chosen, or came to life, not long ago: a scalar."""
        return (self.idle < self.settings.dead_after_steps).float().mean()

    def _taken(self, like: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the hidden states of each micro-batch, after a nothing, and all codes."""
        parts = [like.new_zeros(0, self.width, dtype=torch.float32), *self._hidden]
        codes = torch.cat([like.new_zeros(0, dtype=torch.int64), *self._codes])
        self._hidden, self._codes = [], []
        return parts, codes

    def _revive(
        self, codebook: Tensor, count: Tensor, weight: Tensor, parts: list[Tensor], seed: int
    ) -> int:
        dead = (self.idle >= self.settings.dead_after_steps).nonzero()[:, 0]
        drawn = _drawn(parts, len(dead), seed)
        revived = dead[: len(drawn)]
        codebook[revived] = drawn.to(codebook.dtype)
        count[revived] = 1 - self.settings.decay  # as if it had been chosen once, now
        weight[revived] = (1 - self.settings.decay) * drawn
        self.idle[revived] = 0
        return len(revived)


def _drawn(parts: list[Tensor], wanted: int, seed: int) -> Tensor:
    """Return at most `wanted` different rows of the micro-batches of all workers.

    The same everywhere, and as if one worker had had them all: micro-batch i is worker i % world's.
    """
    rank, world = 0, 1
    if distributed.is_initialized():
        rank, world = distributed.get_rank(), distributed.get_world_size()
    mine = torch.tensor([len(part) for part in parts], device=parts[0].device)
    of_all = [mine]
    if world > 1:
        of_all = [torch.zeros_like(mine) for _ in range(world)]
        distributed.all_gather(of_all, mine)
    sizes = torch.stack(of_all, 1).flatten().cpu()
    ends = sizes.cumsum(0)
    order = torch.randperm(int(ends[-1]), generator=torch.Generator().manual_seed(seed))[:wanted]
    owners = torch.searchsorted(ends, order, right=True)
    drawn = parts[0].new_zeros(len(order), parts[0].shape[1])
    for place, part in enumerate(parts):
        number = place * world + rank
        here = owners == number
        rows = order[here] - (ends[number] - sizes[number])
        drawn[here.to(part.device)] = part[rows.to(part.device)]
    if world > 1:
        distributed.all_reduce(drawn)
    return drawn


def perplexity(count: Tensor) -> Tensor:
    """Return the exp of the entropy of counts: as if so many codes were equally likely."""
    return torch.special.entr(count / count.sum().clamp_min(LEAST_COUNT)).sum().exp()
