"""Weights of a checkpoint: safetensors, one file or shards with an index, or a pickle of tensors.

Nothing in a checkpoint is executed: pickles are read as plain tensors only. Tensors are mapped from
their files and go straight to the wanted device and dtype: on the CPU, in the stored dtype, they
stay views of the mapped file.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from wavemill.model.io.folders import (
    CONFIG_FILE,
    INDEX_FILE,
    WEIGHTS_FILE,
    WeightsError,
    read_index,
    write_atomically,
)

PICKLE_FILE = "model.pt"
SHARD_BYTES = 5 * 10**9
NAMED = 3  # problems that an error names; the rest are counted
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
          torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL"}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint: what its file says about it, and how to read it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str  # as safetensors calls it: F32, BF16 ...
    read: Callable[[str], Tensor]  # to a device


def stored_tensors(
    folder: Path, ignore: str | None = None, prefix: str = "", pickled: str | None = None
) -> dict[str, StoredTensor]:
    """Return what a checkpoint holds, by name without `prefix`. Reads headers alone.

    Names that match the pattern `ignore`, or lack the prefix, are left out. Where there is no
    safetensors file, the tensors stand in `model.pt` under the key `pickled`, if that is given.
    Raises WeightsError where a file is missing or cannot be read.
    """
    shards = read_index(folder)
    files = sorted(set(shards.values())) if shards else [folder / WEIGHTS_FILE]
    if pickled is not None and not shards and not files[0].is_file():
        found = _of_pickle(folder, pickled)
    else:
        found = {name: tensor for file in files for name, tensor in tensors_of_file(file)}
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in found.items()
        if name.startswith(prefix) and not (ignore and re.search(ignore, name))
    }


def fill(
    network: nn.Module,
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    ignore: str | None = None,
    prefix: str = "",
) -> None:
    """Give a network the tensors of a checkpoint; see `stored_tensors` and `assign`."""
    assign(network, stored_tensors(folder, ignore, prefix), folder, device, dtype)


def assign(
    network: nn.Module,
    stored: Mapping[str, StoredTensor],
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    exact: bool = False,
) -> None:
    """Put stored tensors in the place of a network's, which may be on the meta device.

    `dtype` None keeps the stored one; `exact` refuses one that differs from the network's. Before
    anything is read, raises WeightsError (with the name of `folder`) naming tensors that are
    missing, not part of the network, or of another shape.
    """
    if found := problems(network, stored, exact):
        more = f" (and {len(found) - NAMED} more)" if len(found) > NAMED else ""
        raise WeightsError(f"{folder}: {'; '.join(found[:NAMED])}{more}")
    for name, place in stored.items():
        tensor = place.read(str(device)).to(device)
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(dtype)
        _replace(network, name, tensor)


def problems(
    network: nn.Module, stored: Mapping[str, StoredTensor], exact: bool = False
) -> list[str]:
    """Return what keeps stored tensors from being a network's: a phrase for each."""
    wanted = network.state_dict()
    found = [f"tensor {name} is missing" for name in wanted if name not in stored]
    for name, tensor in stored.items():
        if name not in wanted:
            found.append(f"tensor {name} is not part of the network")
            continue
        shape, dtype = tuple(wanted[name].shape), DTYPES.get(wanted[name].dtype)
        if tensor.shape != shape:
            found.append(
                f"tensor {name} is {tensor.shape}, but the configuration calls for {shape}"
            )
        elif exact and tensor.dtype != dtype:
            found.append(f"tensor {name} is {tensor.dtype}, but the network has {dtype}")
    return found


def save(
    network: nn.Module, config: Mapping[str, Any], folder: Path, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write a network as `fill` reads it; more than `shard_bytes` give shards and an index.

    Each file appears whole or not at all; the index, or the only file, comes last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(network.state_dict(), shard_bytes))
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = [WEIGHTS_FILE]
    write_json(folder / CONFIG_FILE, config)
    for file, shard in zip(names, shards, strict=True):
        write_tensors(folder / file, shard)
    if len(shards) == 1:
        (folder / INDEX_FILE).unlink(missing_ok=True)
        return
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    where = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
    write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": where})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], entry: str | None = None) -> None:
    """Write one file of tensors, whole or not at all; its folder is made if need be.

    A safetensors file, or with `entry` a pickle with the tensors under that key.
    """
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_bytes(b"")
    readable = unfinished.stat().st_mode  # safetensors lets the owner alone read
    if entry is None:
        save_file(ready, unfinished, {"format": "pt"})
    else:
        torch.save({entry: ready}, unfinished)
    unfinished.chmod(readable)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def tensors_of_file(file: Path) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the tensors of one safetensors file by name. Raises WeightsError."""
    opened = lru_cache(partial(_opened, file))  # one handle for each device
    headers = opened("cpu")

    def read(name: str, device: str) -> Tensor:
        tensor: Tensor = opened(device).get_tensor(name)
        return tensor

    for name in headers.keys():  # noqa: SIM118 (no mapping)
        header = headers.get_slice(name)
        shape, dtype = tuple(header.get_shape()), header.get_dtype()
        yield name, StoredTensor(file, shape, dtype, partial(read, name))


def _opened(file: Path, device: str) -> Any:
    try:
        return safe_open(file, framework="pt", device=device)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read {file}: {error}") from None


def _of_pickle(folder: Path, entry: str) -> dict[str, StoredTensor]:
    path = folder / PICKLE_FILE
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except FileNotFoundError:
        raise WeightsError(f"{folder}: neither {WEIGHTS_FILE} nor {PICKLE_FILE}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # The message of torch goes on to explain how to run what the file asks for.
        why = f"is not a file of plain tensors: {type(error).__name__}"
        raise WeightsError(f"{path} {why}") from None
    tensors = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        raise WeightsError(f"{path}: no entry {entry!r}")
    return {
        str(name): StoredTensor(path, tuple(value.shape), dtype_name(value), value.to)
        for name, value in tensors.items()
        if isinstance(value, Tensor)
    }


def dtype_name(tensor: Tensor) -> str:
    """Return a tensor's dtype as safetensors calls it."""
    return DTYPES.get(tensor.dtype, str(tensor.dtype).removeprefix("torch."))


def _replace(network: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer, without a copy."""
    path, _, leaf = name.rpartition(".")
    owner = network.get_submodule(path)
    if leaf in owner._parameters:
        old = owner._parameters[leaf]
        trained = old is not None and old.requires_grad and tensor.is_floating_point()
        # Not into `_parameters`: recurrent layers keep a list of their weights beside it.
        setattr(owner, leaf, nn.Parameter(tensor, requires_grad=trained))
    else:
        owner._buffers[leaf] = tensor


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterable[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard
