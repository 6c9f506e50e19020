"""Checkpoints as folders: `config.json` and safetensors, one file or shards with an index.

Nothing in a checkpoint is executed. Tensors are mapped from their files and go straight to the
wanted device and dtype: on the CPU, in the stored dtype, they stay views of the mapped file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from wavemill.model.checkpoint import (
    CONFIG_FILE,
    INDEX_FILE,
    WEIGHTS_FILE,
    WeightsError,
    read_config,
    read_index,
    resolve,
)

__all__ = ["WeightsError", "fill", "read_config", "resolve", "save", "stored_tensors"]

NAMED = 3  # problems that an error names; the rest are counted


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor of a checkpoint is, and what its file says about it."""

    file: Path
    name: str  # in the file
    shape: tuple[int, ...]
    dtype: str  # as safetensors calls it: F32, BF16 ...


def fill(
    network: nn.Module,
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    ignore: str | None = None,
    prefix: str = "",
) -> None:
    """Give a network that was built on the meta device the tensors of a checkpoint.

    Names in the files may carry a `prefix`; those that match the pattern `ignore`, or lack the
    prefix, are not read. `dtype` None keeps the stored one. Before anything is read, raises
    WeightsError naming tensors that are missing, not part of the network, or of another shape.
    """
    stored = stored_tensors(folder, ignore, prefix)
    if found := problems(network, stored):
        more = f" (and {len(found) - NAMED} more)" if len(found) > NAMED else ""
        raise WeightsError(f"{folder}: {'; '.join(found[:NAMED])}{more}")
    for file in sorted({tensor.file for tensor in stored.values()}):
        with _opened(file, str(device)) as tensors:
            for name, place in stored.items():
                if place.file == file:
                    tensor = tensors.get_tensor(place.name)
                    if dtype is not None and tensor.is_floating_point():
                        tensor = tensor.to(dtype)
                    _assign(network, name, tensor)


def stored_tensors(
    folder: Path, ignore: str | None = None, prefix: str = ""
) -> dict[str, StoredTensor]:
    """Return what a checkpoint holds, by name without `prefix`; see `fill`. Reads headers alone."""
    found: dict[str, StoredTensor] = {}
    shards = read_index(folder)
    for file in sorted(set(shards.values())) if shards else [folder / WEIGHTS_FILE]:
        with _opened(file, "cpu") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                if name.startswith(prefix) and not (ignore and re.search(ignore, name)):
                    header = tensors.get_slice(name)
                    found[name.removeprefix(prefix)] = StoredTensor(
                        file, name, tuple(header.get_shape()), header.get_dtype()
                    )
    return found


def problems(network: nn.Module, stored: Mapping[str, StoredTensor]) -> list[str]:
    """Return what keeps stored tensors from being a network's: a phrase for each."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = [f"tensor {name} is missing" for name in wanted if name not in stored]
    for name, tensor in stored.items():
        if name not in wanted:
            found.append(f"tensor {name} is not part of the network")
        elif tensor.shape != wanted[name]:
            found.append(
                f"tensor {name} is {tensor.shape}, but the configuration calls for {wanted[name]}"
            )
    return found


def save(
    network: nn.Module, config: Mapping[str, Any], folder: Path, shard_bytes: int = 5 * 10**9
) -> None:
    """Write a network as `fill` reads it; more than `shard_bytes` give shards and an index.

    Each file appears whole or not at all; the index, or the only file, comes last.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(network.state_dict(), shard_bytes))
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = [WEIGHTS_FILE]
    _write_json(folder / CONFIG_FILE, dict(config))
    for file, shard in zip(names, shards, strict=True):
        partial = folder / f"{file}.partial"
        save_file({n: t.contiguous() for n, t in shard.items()}, partial, {"format": "pt"})
        shutil.copymode(folder / CONFIG_FILE, partial)  # safetensors lets the owner alone read
        partial.replace(folder / file)
    if len(shards) == 1:
        (folder / INDEX_FILE).unlink(missing_ok=True)
        return
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    where = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
    _write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": where})


def _opened(file: Path, device: str) -> Any:
    try:
        return safe_open(file, framework="pt", device=device)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read {file}: {error}") from None


def _assign(network: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer, without a copy."""
    path, _, leaf = name.rpartition(".")
    owner = network.get_submodule(path)
    if leaf in owner._parameters:
        old = owner._parameters[leaf]
        trained = old is not None and old.requires_grad and tensor.is_floating_point()
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=trained)
    else:
        owner._buffers[leaf] = tensor


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)
