"""One step of a training: every optimizer follows its loss over all micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from wavemill.model.train import checkpoint
from wavemill.model.train.learner import Batch, Learner, Loss, Progress
from wavemill.model.train.metrics import Means
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.schedule import learning_rate
from wavemill.model.train.settings import LoopSettings
from wavemill.model.train.sharding import sharded

B = TypeVar("B", bound=Batch)
NAMED = 8  # ids that a message names


class NotFinite(Exception):
    """A loss or gradient is no number: says in which step and of which data."""

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)  # all of the data; the message names NAMED of them


class Stepper(Generic[B]):
    """The networks of one worker with their optimizers."""

    def __init__(self, learner: Learner[B], settings: LoopSettings, ranks: Ranks) -> None:
        """Move the networks to the device, give all ranks the same ones, and shard them if told."""
        if settings.micro_batches % ranks.world:
            raise ValueError(
                f"{settings.micro_batches} micro-batches a step cannot be shared by "
                f"{ranks.world} workers; remedy: a multiple of them"
            )
        self.learner, self.ranks, self._settings = learner, ranks, settings
        self.modules = {n: module.to(ranks.device) for n, module in learner.modules().items()}
        ranks.broadcast(self.modules.values())
        if settings.shard:
            sharded(self.modules, learner.shardable(), settings, ranks)
        self._parameters = {n: list(p) for n, p in learner.optimized().items()}
        self.optimizers = {n: _adamw(p, settings) for n, p in self._parameters.items()}
        self.means = Means()  # of the steps since they were taken
        self.flops = 0.0  # of the steps since it was last set to 0

    def __call__(self, batches: Sequence[B], before: Progress) -> int:
        """Take a step over this rank's micro-batches; return the units learnt on all ranks.

        Raises NotFinite.
        """
        batches = [batch.to(self.ranks.device) for batch in batches]
        sums: dict[str, float] = {"units": 0.0}
        for batch in batches:
            sums["units"] += batch.units
            self.flops += self.learner.flops(batch)
            for name, count in self.learner.counts(batch).items():
                sums[name] = sums.get(name, 0.0) + count
        counts = self.ranks.summed(sums)
        units = int(counts.pop("units"))
        progress = replace(before, counts=counts)
        for module in self.modules.values():
            module.train()
        self.learner.prepare(progress)
        for turn, name in enumerate(self.optimizers):
            if self.learner.learns(name, progress):
                self._gradients(name, turn, batches, progress)
                self._follow(name, batches, progress, units)
        self.learner.after_step(progress)
        return units

    def loss(self, name: str, batch: B, progress: Progress) -> Loss:
        """Return the loss of a micro-batch on the device. Raises NotFinite."""
        bfloat16 = self._settings.precision == "bfloat16"
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=bfloat16):
            loss = self.learner.loss(name, batch, progress)
        if not bool(torch.isfinite(loss.total)):
            value = float(loss.total.detach())
            raise _not_finite(progress, f"the loss of {name!r} is {value} for", [batch])
        return loss

    def _gradients(self, name: str, turn: int, batches: Sequence[B], progress: Progress) -> None:
        """Fill the gradients of one optimizer's parameters, by all micro-batches of the step."""
        settings, ranks = self._settings, self.ranks
        self.optimizers[name].zero_grad(set_to_none=True)
        weights: Tensor | float = 0.0
        divided = True
        for place, batch in enumerate(batches):
            number = progress.step * settings.micro_batches + ranks.rank + place * ranks.world
            torch.manual_seed(hash((settings.seed, number, turn)) & 0x7FFF_FFFF_FFFF_FFFF)
            loss = self.loss(name, batch, progress)
            loss.total.backward()  # type: ignore[no-untyped-call]
            if loss.weight is not None:
                divided = False
                weights = weights + loss.weight
            self.means.add(loss.parts)
        trained = self._trained(name)
        if not settings.shard:  # FSDP2 has added them up already
            ranks.sum_gradients(trained)
        if not divided:
            weight = ranks.summed({"weight": float(weights)})["weight"]
            for parameter in trained:
                if parameter.grad is not None:
                    parameter.grad.div_(max(weight, 1e-12))

    def _follow(self, name: str, batches: Sequence[B], progress: Progress, units: int) -> None:
        """Let one optimizer follow its gradients."""
        told = self._settings.optimizer
        norm = nn.utils.clip_grad_norm_(self._trained(name), told.largest_gradient)
        norm = checkpoint.whole(norm)
        self.means.add({f"gradient_norm/{name}": norm})
        if not bool(torch.isfinite(norm)):
            value = float(norm)
            raise _not_finite(
                progress, f"the gradient of {name!r} is {value}, in a step with", batches
            )
        rate = learning_rate(told, progress, units)
        for group in self.optimizers[name].param_groups:
            group["lr"] = rate
        self.means.add({"learning_rate": rate})
        self.optimizers[name].step()

    def _trained(self, name: str) -> list[nn.Parameter]:
        return [p for p in self._parameters[name] if p.requires_grad]


def _adamw(parameters: Sequence[nn.Parameter], settings: LoopSettings) -> torch.optim.AdamW:
    told = settings.optimizer
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": told.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=told.learning_rate, betas=told.betas, eps=told.eps,
        # One pass over memory: on a CPU a fifth of a small model's step goes into the others.
        fused=not settings.shard,
    )  # fmt: skip


def _not_finite(progress: Progress, what: str, batches: Sequence[Batch]) -> NotFinite:
    ids = [name for batch in batches for name in batch.ids]
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return NotFinite(f"step {progress.step}: {what} {', '.join(ids[:NAMED])}{more}", ids)
