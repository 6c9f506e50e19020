"""A training as a whole: its job, its loop over steps on each worker, and its evaluation."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from wavemill.model.data.source import Batches, Prefetched
from wavemill.model.io.folders import MODEL_FOLDER
from wavemill.model.train.checkpoint import Resuming, checkpoints, last_checkpoint, load
from wavemill.model.train.learner import Learner, MicroBatch, Progress
from wavemill.model.train.metrics import Means, MetricsLog, peak_flops
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoopSettings, TrainingRecipe
from wavemill.model.train.step import MAX_NAMED_IDS, NotFinite, Stepper
from wavemill.model.train.stopping import asked as stopping_asked

B = TypeVar("B", bound=MicroBatch)
MODEL = MODEL_FOLDER  # of a run, that is exported to
OUTCOME = "outcome.json"
NOT_FINITE = "not-finite-{rank}.json"  # of a run: ids of the data whose loss is not finite


@dataclass(frozen=True)
class TrainingData(Generic[B]):
    """What one worker trains and evaluates on."""

    batches: Batches[B]
    total_units: int  # of the whole training
    held_out: Sequence[B] = ()  # micro-batches to evaluate on, this rank's part
    examples: Any = None  # held-out items that `Learner.examples` decodes
    notes: Sequence[str] = ()  # messages for a person, before the training begins


@dataclass(frozen=True)
class Job(ABC):
    """What is to be trained, on what. It is sent to the workers, so it holds no network."""

    corpus: str  # WORKDIR, by path or URL
    recipe: TrainingRecipe
    run: Path  # folder for checkpoints, metrics and the model, shared by all workers

    @property
    @abstractmethod
    def name(self) -> str:
        """Return which training it is, as a checkpoint has it: "sft", "detokenizer/flow"."""

    @property
    def loop(self) -> LoopSettings:
        return self.recipe.loop

    @abstractmethod
    def learner(self) -> Learner[Any]:
        """Return the networks as they are before the first step, with their losses.

        Reads no rows of the corpus. Raises DataError where corpus and model do not fit, and
        WeightsError.
        """

    @abstractmethod
    def data(self, ranks: Ranks) -> TrainingData[Any]:
        """Return what one worker trains on; builds no network. Raises DataError, WeightsError."""

    def identity(self) -> dict[str, Any]:
        """Return what must stay the same for a run to resume, as JSON."""
        return {"training": self.name, "recipe": self.recipe.identity()}


@dataclass(frozen=True)
class JobFromModel(Job):
    """A job that may start from the weights of another one."""

    init: Path | None = field(default=None, kw_only=True)  # model folder; None: random weights

    def identity(self) -> dict[str, Any]:
        init = None if self.init is None else str(self.init.absolute())
        return super().identity() | {"init": init}


def work(job: Job, ranks: Ranks) -> Outcome:
    """Train on one worker, from the last checkpoint on, and export the model.

    Raises DataError, WeightsError, RunChanged and NotFinite.
    """
    torch.set_num_threads(job.loop.threads)
    if ranks.device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    job.run.mkdir(parents=True, exist_ok=True)
    if ranks.first:
        (job.run / OUTCOME).unlink(missing_ok=True)  # it would say that the model is complete
    learner, data = job.learner(), job.data(ranks)
    learner.held_out = data.examples
    batches = Prefetched(data.batches, pinned=ranks.device.type == "cuda")
    training = Training(
        learner, batches, job.loop, data.total_units,
        job.run, ranks, job.identity(), data.held_out, data.notes,
    )  # fmt: skip
    outcome = training()
    if ranks.first and outcome.complete:
        _export(job, learner)
    if ranks.first:
        (job.run / OUTCOME).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    ranks.gathered(None)
    return outcome


def outcome_of(run: Path) -> Outcome:
    """Return how the last training of a run ended."""
    return Outcome(**json.loads((run / OUTCOME).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come."""

    step: int  # of its last checkpoint
    finished: bool  # and its model is written


def run_status(job: Job) -> RunStatus:
    """Return how far a job's run has come, without reading data or weights.

    Raises RunChanged if it began with other settings, and WeightsError for a bad checkpoint.
    """
    last = last_checkpoint(job.run, job.identity())
    if last is None:
        return RunStatus(0, False)
    step = int(last[1]["step"])
    try:
        outcome = outcome_of(job.run)
    except (OSError, ValueError, TypeError):
        return RunStatus(step, False)
    written = (job.run / MODEL).is_dir()
    return RunStatus(step, written and outcome.complete and outcome.step == step)


def _export(job: Job, learner: Learner[Any]) -> None:
    """Write the model; a sharded network is first read from the last checkpoint, as a whole one.

    Only here one worker holds all of it, in the memory of its machine.
    """
    if job.loop.shard:
        learner = job.learner()
        for module in learner.modules().values():
            if learner.is_empty:
                module.to_empty(device="cpu")
        load(checkpoints(job.run)[-1], learner.modules(), {})
    learner.export(job.run / MODEL)


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    step: int
    units: int
    complete: bool  # False: ended early by `stop_after_steps` or a request to stop
    problems: Mapping[str, int]  # what was skipped, by reason


@dataclass
class Training(Generic[B]):
    """The loop of one worker: steps, metrics, evaluations and checkpoints, until the end."""

    learner: Learner[B]
    batches: Prefetched[B]
    settings: LoopSettings
    total_units: int
    run: Path  # folder for checkpoints and metrics
    ranks: Ranks
    identity: Mapping[str, Any] = field(default_factory=dict)  # a checkpoint must have the same
    held_out: Sequence[B] = ()  # micro-batches to evaluate on, this rank's part
    notes: Sequence[str] = ()  # messages for a person, before the training begins
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
        except BaseException as error:
            # Other workers may be gone, and with them what this one would wait for.
            with suppress(Exception):
                self._resuming.settle(wait=self.ranks.world == 1)
            if isinstance(error, NotFinite):
                raise self._named(error) from None
            raise
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
            self._resuming.settle()
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
            # Evaluate before the last checkpoint: a run that is killed in between does both again.
            self._evaluate(metrics)
            self._resuming.save(self.step, self.units)
        self._resuming.settle(wait=True)
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
        """Return an error that names all its data; many are named in a file of the run."""
        if len(error.ids) <= MAX_NAMED_IDS:
            return error
        file = self.run / NOT_FINITE.format(rank=self.ranks.rank)
        file.write_text(
            json.dumps({"step": self.step, "ids": error.ids}, indent=1) + "\n", encoding="utf-8"
        )
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
        if flops:  # 0: not known
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
        self._clock += time.monotonic() - began  # evaluation does not count as training time

    def _due(self, since: float) -> bool:
        """Whether a checkpoint is due, by the first rank's clock for all ranks."""
        settings = self.settings.checkpoint
        if settings.keep_every is not None and self.step % settings.keep_every == 0:
            return True  # so that there is a checkpoint for the policy to keep
        if settings.steps is not None:
            return self.step % settings.steps == 0
        return bool(self.ranks.gathered(time.monotonic() - since > 60 * settings.minutes)[0])

    def _progress(self) -> Progress:
        return Progress(self.step, self.units, self.total_units)


def evaluate(
    stepper: Stepper[B], held_out: Sequence[B], at: Progress, metrics: MetricsLog, examples: int = 0
) -> None:
    """Log the losses on this rank's part of the held-out data, and decode samples.

    All ranks take part, each with as many micro-batches as the rank that has the fewest.
    `examples` is how many samples this rank decodes: the first rank, or all if the network is
    sharded. Raises NotFinite.
    """
    ranks, learner = stepper.ranks, stepper.learner
    for module in stepper.modules.values():
        module.eval()
    means = Means()
    # A rank may lack some whose audio cannot be decoded; each adds to a sum over all ranks.
    count = min(ranks.gathered(len(held_out)))
    with torch.no_grad():
        for batch in held_out[:count]:
            moved = batch.to(ranks.device)
            progress = replace(at, counts=ranks.summed(learner.counts(moved)))
            for name in stepper.optimizers:
                if learner.learns(name, progress):
                    loss = stepper.loss(name, moved, progress)
                    stepper.check(name, [loss], [moved], progress)
                    means.add(loss.parts)
        values = means.taken(ranks)
        if values:
            metrics.write("held_out", at.step, values)
        if examples:
            for example in learner.examples(examples):
                metrics.example(example, at.step)
    ranks.gathered(None)
