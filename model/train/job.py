"""One training as a whole: put together on each worker, trained, written out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from wavemill.model.data.source import Batches
from wavemill.model.io.folders import MODEL_FOLDER
from wavemill.model.train import checkpoint
from wavemill.model.train.learner import Batch, Learner
from wavemill.model.train.loop import Outcome, Training, ahead
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.resuming import last_checkpoint
from wavemill.model.train.settings import LoopSettings, TrainingRecipe

B = TypeVar("B", bound=Batch)
MODEL = MODEL_FOLDER  # of a run, that is exported to
OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Parts(Generic[B]):
    """A training put together."""

    learner: Learner[B]
    batches: Batches[B]
    total_units: int
    held_out: Sequence[B] = ()
    notes: Sequence[str] = ()  # what a person should know before it begins


@dataclass(frozen=True)
class Job(ABC):
    """What is to be trained, on what; travels to the workers, so it holds no network."""

    corpus: str  # WORKDIR, by path or URL
    recipe: TrainingRecipe
    run: Path  # folder for checkpoints, metrics and the model, which all workers see

    @property
    @abstractmethod
    def name(self) -> str:
        """Return which training it is, as a checkpoint has it: "sft", "detokenizer/flow"."""

    @property
    def loop(self) -> LoopSettings:
        return self.recipe.loop

    @abstractmethod
    def build(self, ranks: Ranks) -> Parts[Any]:
        """Put the training together on one worker. Raises DataError and WeightsError."""

    def identity(self) -> dict[str, Any]:
        """Return what must stay the same for a run to be continued, as JSON."""
        return {"training": self.name, "recipe": self.recipe.identity()}


@dataclass(frozen=True)
class JobFromModel(Job):
    """A job that may begin with what another one has learnt."""

    init: Path | None = field(default=None, kw_only=True)  # model folder; None: random weights

    def identity(self) -> dict[str, Any]:
        init = None if self.init is None else str(self.init.absolute())
        return super().identity() | {"init": init}


def work(job: Job, ranks: Ranks) -> Outcome:
    """Train on one worker, from the last checkpoint on, and export what comes of it.

    Raises DataError, WeightsError, RunChanged and NotFinite.
    """
    torch.set_num_threads(job.loop.threads)
    if ranks.device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    job.run.mkdir(parents=True, exist_ok=True)
    if ranks.first:
        (job.run / OUTCOME).unlink(missing_ok=True)  # it says that the model is whole
    parts = job.build(ranks)
    training = Training(
        parts.learner, ahead(parts.batches), job.loop, parts.total_units,
        job.run, ranks, job.identity(), parts.held_out, parts.notes,
    )  # fmt: skip
    outcome = training()
    if ranks.first and outcome.complete:
        _export(job, parts.learner)
    if ranks.first:
        (job.run / OUTCOME).write_text(json.dumps(asdict(outcome)))
    ranks.gathered(None)
    return outcome


def outcome_of(run: Path) -> Outcome:
    """Return how the last training of a run ended."""
    return Outcome(**json.loads((run / OUTCOME).read_text()))


@dataclass(frozen=True)
class Standing:
    """How far a run has come."""

    step: int  # of its last checkpoint
    finished: bool  # and its model is written


def standing_of(job: Job) -> Standing:
    """Return how far a job's run has come, without reading data or weights.

    Raises RunChanged where it was begun otherwise, and WeightsError for a bad checkpoint.
    """
    last = last_checkpoint(job.run, job.identity())
    if last is None:
        return Standing(0, False)
    step = int(last[1]["step"])
    try:
        outcome = outcome_of(job.run)
    except (OSError, ValueError, TypeError):
        return Standing(step, False)
    written = (job.run / MODEL).is_dir()
    return Standing(step, written and outcome.complete and outcome.step == step)


def _export(job: Job, learner: Learner[Any]) -> None:
    """Write the model; that of a sharded network comes from the checkpoint, where it is whole."""
    if job.loop.shard:
        learner = job.build(Ranks()).learner
        checkpoint.load(checkpoint.checkpoints(job.run)[-1], learner.modules(), {})
    learner.export(job.run / MODEL)
