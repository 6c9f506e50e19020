"""Weights for a network that is divided among workers: one tensor at a time, to each its part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from wavemill.model.io.folders import WeightsError
from wavemill.model.io.tensors import NAMED, StoredTensor, problems


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """Return what a worker keeps of a whole tensor, as `like` is sharded, on its device.

    Nothing is sent: every worker has the same `value`.
    """
    if not isinstance(like, DTensor):
        return value.to(like.device)
    # Only this worker's part goes to its device.
    mesh, placements = like.device_mesh, like.placements
    return distribute_tensor(value.to(like.device), mesh, placements, src_data_rank=None)


@torch.no_grad()
def load_tensors(network: nn.Module, stored: Mapping[str, StoredTensor], folder: Path) -> None:
    """Copy stored tensors into those of a network, in its dtypes. Raises WeightsError."""
    if found := problems(network, stored):
        raise WeightsError(f"{folder}: {'; '.join(found[:NAMED])}")
    for name, tensor in network.state_dict().items():
        value = stored[name].read("cpu").to(tensor.dtype)
        tensor.copy_(part_of(value, tensor))


@torch.no_grad()
def draw_tensors(network: nn.Module, seed: int, std: float) -> None:
    """Draw the weights of a network: matrices from N(0, std), norms 1, biases 0.

    The positions of a Whisper encoder are its fixed sinusoids.
    """
    for name, tensor in network.state_dict().items():
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        if name.endswith("embed_positions.weight"):
            value = sinusoids(*tensor.shape)
        elif name.endswith("bias"):
            value = torch.zeros(tensor.shape)
        elif tensor.ndim == 1:
            value = torch.ones(tensor.shape)
        else:
            value = std * torch.randn(tensor.shape, generator=generator)
        tensor.copy_(part_of(value.to(tensor.dtype), tensor))


def sinusoids(length: int, width: int) -> Tensor:
    """Return Whisper's positions, float32 (length, width)."""
    from transformers.models.whisper import modeling_whisper

    found: Tensor = modeling_whisper.sinusoids(length, width)
    return found
