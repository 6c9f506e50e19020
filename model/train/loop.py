"""The training loop, the same for every learner."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from model.data.source import Batches, Prefetched
from model.train import checkpoint
from model.train.learner import Batch, Learner, Loss, Progress
from model.train.metrics import Means, MetricsLog, peak_flops
from model.train.ranks import Ranks
from model.train.schedule import learning_rate
from model.train.settings import LoopSettings
from model.train.sharding import sharded

B = TypeVar("B", bound=Batch)
NAMED = 8  # ids that a message names
NOT_FINITE = "not-finite-{rank}.json"  # of a run: the ids of what gave no number

log = logging.getLogger(__name__)


class NotFinite(Exception):
    """A loss or gradient is no number: says in which step and of which data."""


class RunChanged(Exception):
    """A run was begun otherwise than it is to be continued: says in what."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    step: int
    units: int
    complete: bool  # False: `stop_after_steps` ended it early
    problems: Mapping[str, int]  # what was skipped, by reason


@dataclass
class Training(Generic[B]):
    """One training on one worker, from its last checkpoint or the beginning."""

    learner: Learner[B]
    batches: Prefetched[B]
    settings: LoopSettings
    total_units: int
    run: Path  # folder for checkpoints and metrics
    ranks: Ranks
    identity: Mapping[str, Any] = field(default_factory=dict)  # what a checkpoint must agree in
    held_out: Sequence[B] = ()  # micro-batches to evaluate on, this rank's part
    step: int = 0
    units: int = 0

    def __post_init__(self) -> None:
        if self.settings.micro_batches % self.ranks.world:
            raise ValueError(
                f"{self.settings.micro_batches} micro-batches a step cannot be shared by "
                f"{self.ranks.world} workers; remedy: a multiple of them"
            )
        self._modules = dict(self.learner.modules())
        for name, module in self._modules.items():
            self._modules[name] = module.to(self.ranks.device)
        self.ranks.broadcast(self._modules.values())
        if self.settings.shard:
            sharded(self._modules, self.learner.shardable(), self.settings, self.ranks)
        self._parameters = {n: list(p) for n, p in self.learner.optimized().items()}
        self._optimizers = {n: self._adamw(p) for n, p in self._parameters.items()}
        self._means = Means()
        self._peak = peak_flops(self.ranks.device, self.settings.precision == "bfloat16")
        self._flops = 0.0
        self._logged_step = self._logged_units = 0
        self._clock = time.monotonic()

    def __call__(self) -> Outcome:
        """Train to the end. Raises NotFinite, DataError, and WeightsError for a bad checkpoint."""
        self._resume()
        metrics = MetricsLog(self.run, self.ranks, self.step)
        try:
            return self._train(metrics)
        finally:
            metrics.close()
            self.batches.close()

    def _train(self, metrics: MetricsLog) -> Outcome:
        since = time.monotonic()
        self._clock = time.monotonic()
        first = self.step
        stop = self.settings.stop_after_steps
        while self.units < self.total_units and (stop is None or self.step < stop):
            self._one_step()
            if self.step % self.settings.log_steps == 0 or self.step == first + 1:
                self._log(metrics)
            every = self.settings.evaluation.steps
            if every is not None and self.step % every == 0 and self.units < self.total_units:
                self._evaluate(metrics)
            if self.units < self.total_units and self._due(since):
                self._save()
                since = time.monotonic()
        complete = self.units >= self.total_units
        if complete and self.step != first:
            if self.step != self._logged_step:
                self._log(metrics)
            # Whoever is killed before the last checkpoint comes back here, to evaluate once more.
            self._evaluate(metrics)
            self._save()
        problems = self.ranks.summed(dict(self.batches.problems()))
        return Outcome(self.step, self.units, complete, {k: int(v) for k, v in problems.items()})

    def _one_step(self) -> None:
        settings, ranks = self.settings, self.ranks
        each = settings.micro_batches // ranks.world
        waited = self.batches.waited_seconds
        batches = [next(self.batches).to(ranks.device) for _ in range(each)]
        self._means.add({"data_wait_seconds": self.batches.waited_seconds - waited})
        sums: dict[str, float] = {"units": 0.0}
        for batch in batches:
            sums["units"] += batch.units
            self._flops += self.learner.flops(batch)
            for name, count in self.learner.counts(batch).items():
                sums[name] = sums.get(name, 0.0) + count
        counts = ranks.summed(sums)
        step_units = int(counts.pop("units"))
        progress = Progress(self.step, self.units, self.total_units, counts)
        for module in self._modules.values():
            module.train()
        self.learner.prepare(progress)
        for turn, name in enumerate(self._optimizers):
            if self.learner.learns(name, progress):
                self._learn(name, turn, batches, progress, step_units)
        self.learner.after_step(progress)
        self.step += 1
        self.units += step_units

    def _learn(
        self, name: str, turn: int, batches: Sequence[B], progress: Progress, step_units: int
    ) -> None:
        """Let one optimizer follow its loss, by all micro-batches of the step."""
        settings, optimizer = self.settings, self._optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        weights: Tensor | float = 0.0
        divided = True
        for place, batch in enumerate(batches):
            number = self.step * settings.micro_batches + self.ranks.rank + place * self.ranks.world
            torch.manual_seed(hash((settings.seed, number, turn)) & 0x7FFF_FFFF_FFFF_FFFF)
            loss = self._loss(name, batch, progress)
            loss.total.backward()  # type: ignore[no-untyped-call]
            if loss.weight is not None:
                divided = False
                weights = weights + loss.weight
            self._means.add(loss.parts)
        trained = [p for p in self._parameters[name] if p.requires_grad]
        if not settings.shard:  # FSDP2 has added them up already
            self.ranks.sum_gradients(trained)
        if not divided:
            weight = self.ranks.summed({"weight": float(weights)})["weight"]
            for parameter in trained:
                if parameter.grad is not None:
                    parameter.grad.div_(max(weight, 1e-12))
        norm = nn.utils.clip_grad_norm_(trained, settings.optimizer.largest_gradient)
        norm = checkpoint.whole(norm)
        self._means.add({f"gradient_norm/{name}": norm})
        if not bool(torch.isfinite(norm)):
            raise self._not_finite(f"the gradient of {name!r} is {float(norm)} for", batches)
        rate = learning_rate(settings.optimizer, progress, step_units)
        for group in optimizer.param_groups:
            group["lr"] = rate
        self._means.add({"learning_rate": rate})
        optimizer.step()

    def _loss(self, name: str, batch: B, progress: Progress) -> Loss:
        bfloat16 = self.settings.precision == "bfloat16"
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=bfloat16):
            loss = self.learner.loss(name, batch, progress)
        if not bool(torch.isfinite(loss.total)):
            value = float(loss.total.detach())
            raise self._not_finite(f"the loss of {name!r} is {value} for", [batch])
        return loss

    def _not_finite(self, what: str, batches: Sequence[B]) -> NotFinite:
        """Return the error; a file of the run names all of the data, however much it is."""
        ids = [name for batch in batches for name in batch.ids]
        told = f"step {self.step}: {what} {', '.join(ids[:NAMED])}"
        if len(ids) > NAMED:
            file = self.run / NOT_FINITE.format(rank=self.ranks.rank)
            file.write_text(json.dumps({"step": self.step, "ids": ids}, indent=1) + "\n")
            told += f" and {len(ids) - NAMED} more, all of them in {file}"
        return NotFinite(told)

    def _log(self, metrics: MetricsLog) -> None:
        elapsed = time.monotonic() - self._clock
        values = self._means.taken(self.ranks)
        flops = self.ranks.summed({"flops": self._flops})["flops"]
        steps = self.step - self._logged_step
        units = self.units - self._logged_units
        wait = values.pop("data_wait_seconds", 0.0) * steps
        values |= {
            "units": float(self.units),
            "total_units": float(self.total_units),
            "units_per_second": units / elapsed,
            "data_wait": wait / elapsed,
            **{f"skipped/{k}": float(v) for k, v in self.batches.problems().items()},
        }
        if flops:  # a learner may not know
            values["flops_utilisation"] = flops / elapsed / (self._peak * self.ranks.world)
        metrics.write("train", self.step, values)
        self._flops = 0.0
        self._logged_step, self._logged_units = self.step, self.units
        self._clock = time.monotonic()

    def _evaluate(self, metrics: MetricsLog) -> None:
        """Measure the losses on held-out data, and decode some of it."""
        settings = self.settings.evaluation
        for module in self._modules.values():
            module.eval()
        means, began = Means(), time.monotonic()
        # A rank may have lost some to audio that cannot be decoded; each counts with all others.
        count = min(self.ranks.gathered(len(self.held_out)))
        with torch.no_grad():
            for batch in self.held_out[:count]:
                here = batch.to(self.ranks.device)
                own = self.ranks.summed(self.learner.counts(here))
                progress = Progress(self.step, self.units, self.total_units, own)
                for name in self._optimizers:
                    if self.learner.learns(name, progress):
                        means.add(self._loss(name, here, progress).parts)
        values = means.taken(self.ranks)
        if values:
            metrics.write("held_out", self.step, values)
        if settings.examples and (self.ranks.first or self.settings.shard):
            with torch.no_grad():
                for example in self.learner.examples(settings.examples):
                    metrics.example(example, self.step)
        self.ranks.gathered(None)
        self._clock += time.monotonic() - began  # evaluation is no time of training

    def _due(self, since: float) -> bool:
        """Whether a checkpoint is due: what the first rank's clock says holds for all."""
        settings = self.settings.checkpoint
        if settings.keep_every is not None and self.step % settings.keep_every == 0:
            return True  # what the policy keeps for good has to be written first
        if settings.steps is not None:
            return self.step % settings.steps == 0
        return bool(self.ranks.gathered(time.monotonic() - since > 60 * settings.minutes)[0])

    def _save(self) -> None:
        state = {
            "step": self.step,
            "units": self.units,
            "identity": dict(self.identity),
            "data": self.batches.merged(self.ranks.gathered(self.batches.state())),
            "learner": self.learner.extra_state(),
        }
        checkpoint.save(self.run, self.step, self._modules, self._optimizers, state, self.ranks)
        if self.ranks.first:
            checkpoint.prune(self.run, self.settings.checkpoint)

    def _resume(self) -> None:
        found = checkpoint.checkpoints(self.run)
        if not found:
            return
        state = checkpoint.read_state(found[-1])
        if (changed := _changed(state["identity"], dict(self.identity))) is not None:
            raise RunChanged(
                f"{self.run} was begun with another {changed}; remedy: the same as then, "
                f"or another folder, with --init to go on from what was learnt"
            )
        checkpoint.load(found[-1], self._modules, self._optimizers)
        self.step, self.units = int(state["step"]), int(state["units"])
        self._logged_step, self._logged_units = self.step, self.units
        self.batches.restore(state["data"])
        self.learner.load_extra_state(state["learner"])

    def _adamw(self, parameters: Sequence[nn.Parameter]) -> torch.optim.AdamW:
        settings = self.settings.optimizer
        groups = [
            {
                "params": [p for p in parameters if p.ndim > 1],
                "weight_decay": settings.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate, betas=settings.betas, eps=settings.eps,
            # One pass over memory: on a CPU a fifth of a small model's step goes into the others.
            fused=not self.settings.shard,
        )  # fmt: skip


def _changed(before: Any, now: Any, name: str = "") -> str | None:
    """Return the name of the first field in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            inner = f"{name}.{key}" if name else key
            found = _changed(before.get(key), now.get(key), inner)
            if found is not None:
                return found
        return None
    return None if before == now else f"{name} ({before}, now {now})"


def ahead(batches: Batches[B]) -> Prefetched[B]:
    """Return batches that are made in a thread, unless they are already."""
    return batches if isinstance(batches, Prefetched) else Prefetched(batches)
