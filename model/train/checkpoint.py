"""The whole state of a training on disk, and how a training resumes from it.

Each worker writes its own parts of the tensors by `torch.distributed.checkpoint`, as safetensors,
while the training goes on; all else is JSON. Any number of workers can resume from it, and so they
can from the checkpoints of earlier releases, which have whole tensors. A folder with its final
name is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_parts
from torch.distributed.checkpoint.state_dict_saver import async_save

from wavemill.model.data.source import Prefetched
from wavemill.model.io.folders import WeightsError
from wavemill.model.train.learner import MicroBatch
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import CheckpointSettings
from wavemill.model.train.step import Stepper

FOLDER = "checkpoints"
STATE = "state.json"
PARTS = {"step", "units", "identity", "data"}  # of the state
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, AssertionError, SafetensorError)
Optimizers = Mapping[str, torch.optim.Optimizer]


# A single worker is what most trainings have.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable")


def checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(path for path in (run / FOLDER).glob("step-*") if (path / STATE).is_file())


@dataclass
class Writer:
    """Writes checkpoints of one run, one at a time, while the training goes on.

    All ranks take part. What is written is the state at the time of `begin`.
    """

    run: Path
    ranks: Ranks
    _group: Any = None  # of its own, on the CPU: the training's exchanges go on meanwhile
    _pending: tuple[Future[Any], Path, Mapping[str, Any]] | None = None

    def begin(
        self,
        step: int,
        modules: Mapping[str, nn.Module],
        optimizers: Optimizers,
        state: Mapping[str, Any],
    ) -> Path:
        """Begin to write a checkpoint, once the one before it is complete; return its folder."""
        self.settle(wait=True)
        final = self.run / FOLDER / f"step-{step:09}"
        partial = _partial(final)
        if self.ranks.first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        self.ranks.gathered(None)  # nobody writes before the folder is there
        if self._group is None and dist.is_initialized():
            self._group = dist.new_group(backend="gloo")
        tensors = {name: tensor.detach() for name, tensor in _tensors(modules, optimizers)}
        writing: Any = None
        if tensors:
            writing = async_save(
                tensors,
                storage_writer=HuggingFaceStorageWriter(str(partial), save_distributed=True),
                process_group=self._group,
            )
        else:
            writing = Future()
            writing.set_result(None)
        self._pending = writing, final, state
        return final

    def settle(self, wait: bool = False) -> bool:
        """Complete the checkpoint that is being written, if it is written or `wait`.

        Returns whether one was completed. The first rank sees when all ranks have written their
        parts, and gives the folder its name. Raises WeightsError if it cannot be written.
        """
        if self._pending is None or not (wait or self._pending[0].done()):
            return False
        writing, final, state = self._pending
        self._pending = None
        try:
            writing.result()
        except (CheckpointException, *UNREADABLE) as error:
            raise WeightsError(f"cannot write {final}: {_line(error)}") from None
        if self.ranks.first:
            partial = _partial(final)
            (partial / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
            for file in partial.iterdir():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        return True


def save(
    run: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Optimizers,
    state: Mapping[str, Any],
    ranks: Ranks,
) -> Path:
    """Write a checkpoint and wait for it; all ranks take part."""
    writer = Writer(run, ranks)
    final = writer.begin(step, modules, optimizers, state)
    writer.settle(wait=True)
    ranks.gathered(None)
    return final


def _line(error: BaseException) -> str:
    """Return what an error says in one line; of several workers' errors, the first."""
    if isinstance(error, CheckpointException):
        first = next(iter(error.failures.values()), None)
        error = first[0] if first is not None else error
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _partial(final: Path) -> Path:
    return final.with_name(f".{final.name}.partial")


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
    """Fill networks and optimizers of the saved shapes; raises WeightsError.

    Each rank reads its own parts, and nothing is exchanged.
    """
    try:
        reader = HuggingFaceStorageReader(str(folder))
        stored = reader.read_metadata().state_dict_metadata
        wanted = dict(_of_modules(modules))
        with torch.no_grad():
            wanted |= _of_optimizers(stored, optimizers)
            for name, tensor in wanted.items():
                _fits(folder, stored.get(name), name, tensor)
            # On the meta device there is nothing to fill.
            there = {n: t.detach() for n, t in wanted.items() if t.device.type != "meta"}
            if there:
                load_parts(
                    there,
                    storage_reader=reader,
                    no_dist=True,
                )
    except (CheckpointException, *UNREADABLE) as error:
        raise WeightsError(f"cannot read the tensors in {folder}: {_line(error)}") from None


def _of_optimizers(stored: Mapping[str, Any], optimizers: Optimizers) -> dict[str, Tensor]:
    """Return tensors for the stored state of optimizers, which have them from now on."""
    found: dict[str, Tensor] = {}
    for name, optimizer in optimizers.items():
        for number, parameter in enumerate(_parameters(optimizer)):
            prefix = f"optimizer/{name}/{number}/"
            for key in (key for key in stored if key.startswith(prefix)):
                kind, dtype = key.removeprefix(prefix), stored[key].properties.dtype
                if kind == "step":
                    # Fused kernels read it where the parameters are.
                    place = parameter.device if optimizer.defaults.get("fused") else "cpu"
                    value = torch.zeros((), dtype=dtype, device=place)
                else:
                    value = torch.empty_like(parameter, dtype=dtype)
                optimizer.state[parameter][kind] = found[key] = value
    return found


def _fits(folder: Path, stored: Any, name: str, wanted: Tensor) -> None:
    if not isinstance(stored, TensorStorageMetadata):
        raise WeightsError(f"{folder} has no tensor {name}")
    if tuple(stored.size) != tuple(wanted.shape):
        raise WeightsError(
            f"{folder}: {name} is {tuple(stored.size)}, wanted {tuple(wanted.shape)}"
        )


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


B = TypeVar("B", bound=MicroBatch)
T = TypeVar("T")


class RunChanged(Exception):
    """A run was begun with other settings than it is to resume with: says which."""


@dataclass
class Resuming(Generic[B]):
    """The checkpoints of one run; all ranks take part."""

    run: Path
    identity: Mapping[str, Any]  # a checkpoint must have the same
    settings: CheckpointSettings
    stepper: Stepper[B]
    batches: Prefetched[B]

    def __post_init__(self) -> None:
        self._writer = Writer(self.run, self.stepper.ranks)

    def save(self, step: int, units: int) -> None:
        """Begin to write a checkpoint; it is there once `settle` has completed it."""
        ranks = self.stepper.ranks
        self.settle(wait=True)
        state = {
            "step": step,
            "units": units,
            "identity": dict(self.identity),
            "data": self.batches.merged(ranks.gathered(self.batches.state())),
        }
        self._writer.begin(step, self.stepper.modules, self.stepper.optimizers, state)

    def settle(self, wait: bool = False) -> None:
        """Complete the checkpoint that is being written; see `Writer.settle`."""
        if self._writer.settle(wait) and self.stepper.ranks.first:
            prune(self.run, self.settings)

    def resume(self) -> tuple[int, int]:
        """Load the last checkpoint, if there is one; return the steps and units done.

        Raises RunChanged, and WeightsError for a bad checkpoint.
        """
        last = last_checkpoint(self.run, self.identity)
        if last is None:
            self.stepper.learner.fill()
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
