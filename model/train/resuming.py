"""How a training is saved, and goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from wavemill.model.data.source import Prefetched
from wavemill.model.io.folders import WeightsError
from wavemill.model.train import checkpoint
from wavemill.model.train.learner import Batch
from wavemill.model.train.settings import CheckpointSettings
from wavemill.model.train.stepping import Stepper

B = TypeVar("B", bound=Batch)
T = TypeVar("T")


class RunChanged(Exception):
    """A run was begun otherwise than it is to be continued: says in what."""


@dataclass(frozen=True)
class Resuming(Generic[B]):
    """The checkpoints of one run; all ranks take part."""

    run: Path
    identity: Mapping[str, Any]  # what a checkpoint must agree in
    settings: CheckpointSettings
    stepper: Stepper[B]
    batches: Prefetched[B]

    def save(self, step: int, units: int) -> None:
        ranks, learner = self.stepper.ranks, self.stepper.learner
        state = {
            "step": step,
            "units": units,
            "identity": dict(self.identity),
            "data": self.batches.merged(ranks.gathered(self.batches.state())),
            "learner": learner.extra_state(),
        }
        modules, optimizers = self.stepper.modules, self.stepper.optimizers
        checkpoint.save(self.run, step, modules, optimizers, state, ranks)
        if ranks.first:
            checkpoint.prune(self.run, self.settings)

    def resume(self) -> tuple[int, int]:
        """Take up the last checkpoint, if there is one; return the steps and units done.

        Raises RunChanged, and WeightsError for a bad checkpoint.
        """
        last = last_checkpoint(self.run, self.identity)
        if last is None:
            return 0, 0
        place, state = last
        modules, optimizers = self.stepper.modules, self.stepper.optimizers
        _readable(place, lambda folder: checkpoint.load(folder, modules, optimizers))
        self.batches.restore(state["data"])
        self.stepper.learner.load_extra_state(state["learner"])
        return int(state["step"]), int(state["units"])


def last_checkpoint(run: Path, identity: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the last checkpoint of a run and its state, None where there is none yet.

    Raises RunChanged where it does not agree in `identity`, and WeightsError for a bad one.
    """
    found = checkpoint.checkpoints(run)
    if not found:
        return None
    state = _readable(found[-1], checkpoint.read_state)
    if (changed := _changed(state["identity"], dict(identity))) is not None:
        raise RunChanged(
            f"{run} was begun with another {changed}; remedy: the same as then, "
            f"or another folder, with --init to go on from what was learnt"
        )
    return found[-1], state


def _readable(folder: Path, read: Callable[[Path], T]) -> T:
    """Return what is read of a checkpoint; raises WeightsError, with what to do."""
    try:
        return read(folder)
    except WeightsError as error:
        raise WeightsError(
            f"{error}; remedy: delete {folder}, to go on from the checkpoint before it"
        ) from None


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
