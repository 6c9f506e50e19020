"""The whole state of a training on disk, and how a training resumes from it.

A checkpoint has whole tensors in safetensors, however the workers shard them, and all else in
JSON: any number of workers can resume from it. A folder with its final name is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from wavemill.model.data.source import Prefetched
from wavemill.model.io.folders import WeightsError
from wavemill.model.io.tensors import StoredTensor, tensors_of_file, write_tensors
from wavemill.model.train.learner import MicroBatch
from wavemill.model.train.ranks import Ranks, whole
from wavemill.model.train.recipe import CheckpointSettings
from wavemill.model.train.step import Stepper

FOLDER = "checkpoints"
STATE = "state.json"
PARTS = {"step", "units", "identity", "data"}  # of the state
SHARD_BYTES = 4 << 30
Optimizers = Mapping[str, torch.optim.Optimizer]


def checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(path for path in (run / FOLDER).glob("step-*") if (path / STATE).is_file())


def save(
    run: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Optimizers,
    state: Mapping[str, Any],
    ranks: Ranks,
) -> Path:
    """Write a checkpoint; all ranks take part, the first one writes."""
    final = run / FOLDER / f"step-{step:09}"
    partial = final.with_name(f".{final.name}.partial")
    if ranks.first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    _write(partial, (t for t in _tensors(modules, optimizers)), ranks.first)
    if ranks.first:
        (partial / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        for file in partial.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    ranks.gathered(None)  # all ranks wait until it is complete
    return final


def read_state(folder: Path) -> dict[str, Any]:
    """Return the `state` that `save` has written; raises WeightsError."""
    try:
        state = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {folder / STATE}: {error}") from None
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise WeightsError(f"{folder / STATE} is not the state of a training")
    return state


def load(folder: Path, modules: Mapping[str, nn.Module], optimizers: Optimizers) -> None:
    """Fill networks and optimizers of the saved shapes; raises WeightsError."""
    stored = _Stored(folder)
    with torch.no_grad():
        for name, tensor in _of_modules(modules):
            tensor.copy_(stored.like(name, tensor))
        for name, optimizer in optimizers.items():
            for number, parameter in enumerate(_parameters(optimizer)):
                prefix = f"optimizer/{name}/{number}/"
                for key in stored.below(prefix):
                    if key == f"{prefix}step":
                        value = stored.read(key)
                        if optimizer.defaults.get("fused"):  # kernels read it there
                            value = value.to(parameter.device)
                    else:
                        value = stored.like(key, parameter)
                    optimizer.state[parameter][key.removeprefix(prefix)] = value


def prune(run: Path, settings: CheckpointSettings) -> None:
    """Delete checkpoints that the policy does not keep, and incomplete ones."""
    for left in (run / FOLDER).glob(".step-*.partial"):  # of a worker that died while it wrote
        shutil.rmtree(left, ignore_errors=True)
    found = checkpoints(run)
    for path in found[: -settings.keep]:
        step = int(path.name.removeprefix("step-"))
        if settings.keep_every is None or step % settings.keep_every:
            gone = path.with_name(f".{path.name}.partial")
            path.rename(gone)  # what is half deleted must not look complete
            shutil.rmtree(gone, ignore_errors=True)


def _of_modules(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for name, module in modules.items():
        for key, tensor in module.state_dict(keep_vars=True).items():
            yield f"module/{name}/{key}", tensor


def _tensors(
    modules: Mapping[str, nn.Module], optimizers: Optimizers
) -> Iterator[tuple[str, Tensor]]:
    yield from _of_modules(modules)
    for name, optimizer in optimizers.items():
        for number, parameter in enumerate(_parameters(optimizer)):
            for key, value in optimizer.state.get(parameter, {}).items():
                yield f"optimizer/{name}/{number}/{key}", value


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _write(folder: Path, tensors: Iterator[tuple[str, Tensor]], first: bool) -> None:
    held: dict[str, Tensor] = {}
    size, number = 0, 0
    for name, tensor in tensors:
        value = whole(tensor)
        if not first:
            continue
        if held and size + value.nbytes > SHARD_BYTES:
            write_tensors(folder / f"{number:05}.safetensors", held)
            held, size, number = {}, 0, number + 1
        held[name] = value.clone()  # tensors that share memory are stored separately
        size += value.nbytes
    if first:
        write_tensors(folder / f"{number:05}.safetensors", held)


class _Stored:
    """The tensors of a checkpoint, each read when it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tensors: dict[str, StoredTensor] = {}
        for file in sorted(folder.glob("*.safetensors")):
            self._tensors.update(tensors_of_file(file))

    def below(self, prefix: str) -> list[str]:
        return [name for name in self._tensors if name.startswith(prefix)]

    def read(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise WeightsError(f"{self.folder} has no tensor {name}")
        return self._tensors[name].read("cpu")

    def like(self, name: str, other: Tensor) -> Tensor:
        """Return a tensor on the device of `other`, sharded like it."""
        value = self.read(name)
        if tuple(value.shape) != tuple(other.shape):
            raise WeightsError(
                f"{self.folder}: {name} is {tuple(value.shape)}, wanted {tuple(other.shape)}"
            )
        value = value.to(other.device)
        if isinstance(other, DTensor):
            return distribute_tensor(value, other.device_mesh, other.placements)
        return value


B = TypeVar("B", bound=MicroBatch)
T = TypeVar("T")


class RunChanged(Exception):
    """A run was begun with other settings than it is to resume with: says which."""


@dataclass(frozen=True)
class Resuming(Generic[B]):
    """The checkpoints of one run; all ranks take part."""

    run: Path
    identity: Mapping[str, Any]  # a checkpoint must have the same
    settings: CheckpointSettings
    stepper: Stepper[B]
    batches: Prefetched[B]

    def save(self, step: int, units: int) -> None:
        ranks = self.stepper.ranks
        state = {
            "step": step,
            "units": units,
            "identity": dict(self.identity),
            "data": self.batches.merged(ranks.gathered(self.batches.state())),
        }
        modules, optimizers = self.stepper.modules, self.stepper.optimizers
        save(self.run, step, modules, optimizers, state, ranks)
        if ranks.first:
            prune(self.run, self.settings)

    def resume(self) -> tuple[int, int]:
        """Load the last checkpoint, if there is one; return the steps and units done.

        Raises RunChanged, and WeightsError for a bad checkpoint.
        """
        last = last_checkpoint(self.run, self.identity)
        if last is None:
            return 0, 0
        place, state = last
        modules, optimizers = self.stepper.modules, self.stepper.optimizers
        _readable(place, lambda folder: load(folder, modules, optimizers))
        self.batches.restore(state["data"])
        return int(state["step"]), int(state["units"])


def last_checkpoint(run: Path, identity: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the last checkpoint of a run and its state; None if there is none yet.

    Raises RunChanged if it has another `identity`, and WeightsError for a bad checkpoint.
    """
    found = checkpoints(run)
    if not found:
        return None
    state = _readable(found[-1], read_state)
    if (changed := _changed(state["identity"], dict(identity))) is not None:
        raise RunChanged(
            f"{run} was begun with another {changed}; remedy: the same as then, "
            f"or another folder, with --init to go on from what was learnt"
        )
    return found[-1], state


def _readable(folder: Path, read: Callable[[Path], T]) -> T:
    """Return `read(folder)`; raises WeightsError that says what to do."""
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
