"""The workers of a training, and what they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

BUCKET = 1 << 24  # gradient entries that are reduced at once


@dataclass(frozen=True)
class Ranks:
    """This worker among the workers; a single worker sends nothing."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """Return the value of every rank, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def summed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return sums over ranks, by name; a rank may lack a name."""
        total: dict[str, float] = {}
        for one in self.gathered(dict(values)):
            for name, value in one.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def broadcast(self, modules: Iterable[nn.Module]) -> None:
        """Give every rank the tensors of the first rank."""
        if self.world > 1:
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    dist.broadcast(tensor.detach(), 0)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients of all ranks, in place; a missing gradient counts as 0."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        held: list[Tensor] = []
        size = 0
        for parameter in parameters:
            assert parameter.grad is not None
            if size + parameter.numel() > BUCKET and held:
                _sum(held)
                held, size = [], 0
            held.append(parameter.grad)
            size += parameter.numel()
        if held:
            _sum(held)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that may be sharded among ranks as a whole one, on the CPU."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


def _sum(gradients: list[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
