"""One step of a training: losses and gradients of all micro-batches and ranks, then the update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from wavemill.model.train import layers
from wavemill.model.train.learner import Learner, Loss, MicroBatch, Progress
from wavemill.model.train.metrics import Means
from wavemill.model.train.optimizers import RoundingAdamW
from wavemill.model.train.ranks import Ranks, whole
from wavemill.model.train.recipe import LoopSettings, OptimizerSettings


def learning_rate(settings: OptimizerSettings, progress: Progress, step_units: int) -> float:
    """Return the learning rate of a step of `step_units`.

    It rises linearly over the share `warm_up` of the training, the first step included, and then
    falls as half a cosine to `final_learning_rate`, or by half every `half_life_steps`.
    """
    warm = settings.warm_up * progress.total_units
    if progress.units < warm:
        return settings.learning_rate * min(1.0, (progress.units + step_units) / warm)
    if settings.half_life_steps is not None:
        return settings.learning_rate * 0.5 ** (progress.step / settings.half_life_steps)
    rest = max(1.0, progress.total_units - warm)
    done = min(1.0, (progress.units - warm) / rest)
    swing = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + swing * 0.5 * (1 + math.cos(math.pi * done))


B = TypeVar("B", bound=MicroBatch)
MAX_NAMED_IDS = 8  # in a message
UPDATE = 1 << 20  # in place of an optimizer's number, for what an update draws


class NotFinite(Exception):
    """A loss or gradient is not finite: says in which step and of which data."""

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)  # of all the data; the message names MAX_NAMED_IDS of them


class Stepper(Generic[B]):
    """The networks of one worker and their optimizers; a call takes one step."""

    def __init__(self, learner: Learner[B], settings: LoopSettings, ranks: Ranks) -> None:
        """Move the networks to the device, with equal weights on all ranks; shard them if set."""
        if settings.micro_batches % ranks.world:
            raise ValueError(
                f"{settings.micro_batches} micro-batches a step cannot be shared by "
                f"{ranks.world} workers; remedy: a multiple of them"
            )
        self.learner, self.ranks, self._settings = learner, ranks, settings
        self.modules = dict(learner.modules())
        if settings.weights == "bfloat16":
            for module in self.modules.values():
                learner.halve(module)
        layers.prepare(learner.layers(), settings)
        if settings.shard:
            if not learner.is_empty:
                self._placed()
            layers.divide(self.modules, learner.shardable(), settings, ranks)
            if learner.is_empty:
                for module in self.modules.values():
                    module.to_empty(device=ranks.device)
        else:
            self._placed()
        self._parameters = {n: list(p) for n, p in learner.optimized().items()}
        self.optimizers = {n: _adamw(p, settings) for n, p in self._parameters.items()}
        self.means = Means()  # over the steps since they were last taken
        self.flops = 0.0  # of the steps since it was last set to 0

    def _placed(self) -> None:
        for module in self.modules.values():
            module.to(self.ranks.device)
        self.ranks.broadcast(self.modules.values())

    def __call__(self, batches: Sequence[B], before: Progress) -> int:
        """Take a step over this rank's micro-batches; return the units of all ranks' micro-batches.

        Raises NotFinite.
        """
        sums: dict[str, float] = {"units": 0.0}
        for batch in batches:
            sums["units"] += batch.units
            self.flops += self.learner.flops(batch)
            for name, count in self.learner.counts(batch).items():
                sums[name] = sums.get(name, 0.0) + count
        # Counted first: on a GPU, each count would wait for all work before it.
        batches = [batch.to(self.ranks.device) for batch in batches]
        counts = self.ranks.summed(sums)
        units = int(counts.pop("units"))
        progress = replace(before, counts=counts)
        for module in self.modules.values():
            module.train()
        self.learner.prepare(progress)
        for number, name in enumerate(self.optimizers):
            if self.learner.learns(name, progress):
                self._gradients(name, number, batches, progress)
                self._update(name, batches, progress, units)
        self.learner.after_step(progress)
        return units

    def loss(self, name: str, batch: B, progress: Progress) -> Loss:
        """Return the loss of a micro-batch on the device.

        Products are of bfloat16 by autocast, which is the one rule for dtypes: a sharded network
        gathers its parameters in bfloat16 besides, which are then taken as they are.
        """
        bfloat16 = self._settings.precision == "bfloat16"
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=bfloat16):
            return self.learner.loss(name, batch, progress)

    def check(self, name: str, losses: Sequence[Loss], batches: Sequence[B], at: Progress) -> None:
        """Raise NotFinite if the loss of a micro-batch is not finite.

        It waits for the device, once for all of them.
        """
        values = torch.stack([loss.total.detach().float() for loss in losses]).tolist()
        for value, batch in zip(values, batches, strict=True):
            if not math.isfinite(value):
                raise _not_finite(at, f"the loss of {name!r} is {value} for", [batch])

    def _gradients(
        self, name: str, optimizer: int, batches: Sequence[B], progress: Progress
    ) -> None:
        """Sum the gradients of one optimizer's parameters over the step's micro-batches and ranks.

        `optimizer` is its number among the optimizers.
        """
        settings, ranks = self._settings, self.ranks
        self.optimizers[name].zero_grad(set_to_none=True)
        weights: Tensor | float = 0.0
        divided, losses = True, []
        for place, batch in enumerate(batches):
            number = progress.step * settings.micro_batches + ranks.rank + place * ranks.world
            torch.manual_seed(_seed(settings.seed, number, optimizer))
            loss = self.loss(name, batch, progress)
            loss.total.backward()  # type: ignore[no-untyped-call]
            if loss.weight is not None:
                divided = False
                weights = weights + loss.weight
            self.means.add(loss.parts)
            losses.append(loss)
        self.check(name, losses, batches, progress)
        trained = self._trained(name)
        if not settings.shard:  # FSDP2 has summed them already
            ranks.sum_gradients(trained)
        if not divided:
            weight = ranks.summed({"weight": float(weights)})["weight"]
            for parameter in trained:
                if parameter.grad is not None:
                    parameter.grad.div_(max(weight, 1e-12))

    def _update(self, name: str, batches: Sequence[B], progress: Progress, units: int) -> None:
        """Clip the gradients of one optimizer, set its learning rate, and update its weights."""
        settings = self._settings.optimizer
        norm = nn.utils.clip_grad_norm_(self._trained(name), settings.largest_gradient)
        norm = whole(norm)
        self.means.add({f"gradient_norm/{name}": norm})
        if not bool(torch.isfinite(norm)):
            value = float(norm)
            raise _not_finite(
                progress, f"the gradient of {name!r} is {value}, in a step with", batches
            )
        rate = learning_rate(settings, progress, units)
        for group in self.optimizers[name].param_groups:
            group["lr"] = rate
        self.means.add({"learning_rate": rate})
        # What the optimizer draws depends on the step alone, and is the same on all workers.
        torch.manual_seed(_seed(self._settings.seed, progress.step, UPDATE))
        self.optimizers[name].step()

    def _trained(self, name: str) -> list[nn.Parameter]:
        return [p for p in self._parameters[name] if p.requires_grad]


def _seed(*numbers: int) -> int:
    return hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF


def _adamw(parameters: Sequence[nn.Parameter], settings: LoopSettings) -> torch.optim.Optimizer:
    adamw = settings.optimizer
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": adamw.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if any(parameter.dtype == torch.bfloat16 for parameter in parameters):
        return RoundingAdamW(groups, adamw.learning_rate, adamw.betas, adamw.eps)
    return torch.optim.AdamW(
        groups,
        lr=adamw.learning_rate, betas=adamw.betas, eps=adamw.eps,
        # Fused: without it, the update takes a fifth of a small model's step on a CPU.
        fused=not settings.shard,
    )  # fmt: skip


def _not_finite(progress: Progress, what: str, batches: Sequence[MicroBatch]) -> NotFinite:
    ids = [name for batch in batches for name in batch.ids]
    more = f" and {len(ids) - MAX_NAMED_IDS} more" if len(ids) > MAX_NAMED_IDS else ""
    return NotFinite(f"step {progress.step}: {what} {', '.join(ids[:MAX_NAMED_IDS])}{more}", ids)
