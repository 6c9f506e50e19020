"""The training loop, the same for every learner."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from wavemill.model.data.source import Batches, Prefetched
from wavemill.model.train.evaluation import evaluate
from wavemill.model.train.learner import Batch, Learner, Progress
from wavemill.model.train.metrics import MetricsLog, peak_flops
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.resuming import Resuming
from wavemill.model.train.settings import LoopSettings
from wavemill.model.train.stepping import NAMED, NotFinite, Stepper
from wavemill.model.train.stopping import asked as stopping_asked

B = TypeVar("B", bound=Batch)
NOT_FINITE = "not-finite-{rank}.json"  # of a run: the ids of what gave no number


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    step: int
    units: int
    complete: bool  # False: `stop_after_steps`, or someone who asked it to stop, ended it early
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
    notes: Sequence[str] = ()  # what a person should know before it begins
    step: int = 0
    units: int = 0

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.learner, self.settings, self.ranks)
        self._resuming = Resuming(
            self.run, self.identity, self.settings.checkpoint, self._stepper, self.batches
        )
        self._peak = peak_flops(self.ranks.device, self.settings.precision == "bfloat16")
        self._logged_step = self._logged_units = 0
        self._clock = time.monotonic()

    def __call__(self) -> Outcome:
        """Train to the end.

        Raises NotFinite, DataError, RunChanged, and WeightsError for a bad checkpoint.
        """
        self.step, self.units = self._resuming.resume()
        self._logged_step, self._logged_units = self.step, self.units
        metrics = MetricsLog(self.run, self.ranks, self.step)
        try:
            for note in self.notes if self.units < self.total_units else ():
                metrics.write("note", self.step, {"text": note})
            return self._train(metrics)
        except NotFinite as error:
            raise self._named(error) from None
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
            stopping = self.ranks.gathered(stopping_asked(self.run))[0]
            if self.units < self.total_units and (stopping or self._due(since)):
                self._resuming.save(self.step, self.units)
                since = time.monotonic()
            if stopping:
                break
        complete = self.units >= self.total_units
        if complete and self.step != first:
            if self.step != self._logged_step:
                self._log(metrics)
            # Whoever is killed before the last checkpoint comes back here, to evaluate once more.
            self._evaluate(metrics)
            self._resuming.save(self.step, self.units)
        problems = self.ranks.summed(dict(self.batches.problems()))
        return Outcome(self.step, self.units, complete, {k: int(v) for k, v in problems.items()})

    def _one_step(self) -> None:
        waited = self.batches.waited_seconds
        each = self.settings.micro_batches // self.ranks.world
        batches = [next(self.batches) for _ in range(each)]
        self._stepper.means.add({"data_wait_seconds": self.batches.waited_seconds - waited})
        self.units += self._stepper(batches, self._progress())
        self.step += 1

    def _named(self, error: NotFinite) -> NotFinite:
        """Return an error whose data are all named: in a file of the run, where they are many."""
        if len(error.ids) <= NAMED:
            return error
        file = self.run / NOT_FINITE.format(rank=self.ranks.rank)
        file.write_text(json.dumps({"step": self.step, "ids": error.ids}, indent=1) + "\n")
        return NotFinite(f"{error}, all of them in {file}", error.ids)

    def _log(self, metrics: MetricsLog) -> None:
        elapsed = time.monotonic() - self._clock
        values = self._stepper.means.taken(self.ranks)
        flops = self.ranks.summed({"flops": self._stepper.flops})["flops"]
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
        self._stepper.flops = 0.0
        self._logged_step, self._logged_units = self.step, self.units
        self._clock = time.monotonic()

    def _evaluate(self, metrics: MetricsLog) -> None:
        decodes = self.ranks.first or self.settings.shard
        examples = self.settings.evaluation.examples if decodes else 0
        began = time.monotonic()
        evaluate(self._stepper, self.held_out, self._progress(), metrics, examples)
        self._clock += time.monotonic() - began  # evaluation is no time of training

    def _due(self, since: float) -> bool:
        """Whether a checkpoint is due: what the first rank's clock says holds for all."""
        settings = self.settings.checkpoint
        if settings.keep_every is not None and self.step % settings.keep_every == 0:
            return True  # what the policy keeps for good has to be written first
        if settings.steps is not None:
            return self.step % settings.steps == 0
        return bool(self.ranks.gathered(time.monotonic() - since > 60 * settings.minutes)[0])

    def _progress(self) -> Progress:
        return Progress(self.step, self.units, self.total_units)


def ahead(batches: Batches[B]) -> Prefetched[B]:
    """Return batches that are made in a thread, unless they are already."""
    return batches if isinstance(batches, Prefetched) else Prefetched(batches)
