"""A training's whole state on disk: whole tensors in safetensors, all else in JSON.

Tensors are whole however many workers had parts of them, so any number of workers can go on from
a checkpoint. A folder with its final name is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from wavemill.model.io.folders import WeightsError
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.settings import CheckpointSettings

FOLDER = "checkpoints"
STATE = "state.json"
PARTS = {"step", "units", "identity", "data", "learner"}  # of the state
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
        (partial / STATE).write_text(json.dumps(state, indent=1) + "\n")
        for file in partial.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    ranks.gathered(None)  # no one goes on before it is there
    return final


def read_state(folder: Path) -> dict[str, Any]:
    """Return what `save` was told; raises WeightsError."""
    try:
        told = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {folder / STATE}: {error}") from None
    if not isinstance(told, dict) or not told.keys() >= PARTS:
        raise WeightsError(f"{folder / STATE} is no state of a training")
    return told


def load(folder: Path, modules: Mapping[str, nn.Module], optimizers: Optimizers) -> None:
    """Fill networks and optimizers, which must be as they were saved; raises WeightsError."""
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
                        if optimizer.defaults.get("fused"):  # whose kernels read it there
                            value = value.to(parameter.device)
                    else:
                        value = stored.like(key, parameter)
                    optimizer.state[parameter][key.removeprefix(prefix)] = value


def prune(run: Path, settings: CheckpointSettings) -> None:
    """Delete checkpoints that the policy does not keep, and halves of others."""
    for left in (run / FOLDER).glob(".step-*.partial"):  # by a worker that died while it wrote
        shutil.rmtree(left, ignore_errors=True)
    found = checkpoints(run)
    for path in found[: -settings.keep]:
        step = int(path.name.removeprefix("step-"))
        if settings.keep_every is None or step % settings.keep_every:
            gone = path.with_name(f".{path.name}.partial")
            path.rename(gone)  # half of one must not look like a whole one
            shutil.rmtree(gone, ignore_errors=True)


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be divided up among ranks, on the CPU."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


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
            save_file(held, folder / f"{number:05}.safetensors")
            held, size, number = {}, 0, number + 1
        held[name] = value.clone()  # tensors that share memory are stored twice
        size += value.nbytes
    if first:
        save_file(held, folder / f"{number:05}.safetensors")


class _Stored:
    """The tensors of a checkpoint, read as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: dict[str, Callable[[], Tensor]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        try:
            for file in sorted(folder.glob("*.safetensors")):
                opened: Any = safe_open(file, framework="pt")
                for name in opened.keys():  # noqa: SIM118 (no mapping)
                    self._readers[name] = partial(opened.get_tensor, name)
                    self._shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"cannot read {folder}: {error}") from None

    def below(self, prefix: str) -> list[str]:
        return [name for name in self._readers if name.startswith(prefix)]

    def read(self, name: str) -> Tensor:
        if name not in self._readers:
            raise WeightsError(f"{self.folder} has no tensor {name}")
        return self._readers[name]()

    def like(self, name: str, other: Tensor) -> Tensor:
        """Return a tensor as `other` is: on its device, divided up as it is."""
        value = self.read(name)
        if tuple(value.shape) != tuple(other.shape):
            raise WeightsError(
                f"{self.folder}: {name} is {tuple(value.shape)}, wanted {tuple(other.shape)}"
            )
        value = value.to(other.device)
        if isinstance(other, DTensor):
            return distribute_tensor(value, other.device_mesh, other.placements)
        return value
