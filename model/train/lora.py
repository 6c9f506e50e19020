"""Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685) of the LLM's layers and heads.

The weights stay as they are; beside each matrix W, (out, in), B A is learnt, A (rank, in) and B
(out, rank), and `merge` adds it to W. B begins at 0, so that nothing changes before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavemill.model.llm.network import AudioLlm, Head
from wavemill.model.train.recipe import LoraSettings


class _Adapted(nn.Linear):
    """A matrix product with an addition of low rank. A `nn.Linear` becomes one in place."""

    adapter_a: nn.Parameter
    adapter_b: nn.Parameter
    adapter_scale: float

    def forward(self, input: Tensor) -> Tensor:
        found = super().forward(input)
        return found + added(self, input).to(found.dtype)


class _AdaptedHead(Head):
    adapter_a: nn.Parameter
    adapter_b: nn.Parameter
    adapter_scale: float

    def scores(self, input: Tensor) -> Tensor:
        found = super().scores(input)
        return found + added(self, input).to(found.dtype)


def added(layer: _Adapted | _AdaptedHead, input: Tensor) -> Tensor:
    """Return what the adapter adds to the product of a layer."""
    narrow = functional.linear(input.to(layer.adapter_a.dtype), layer.adapter_a)
    return layer.adapter_scale * functional.linear(narrow, layer.adapter_b)


def matrices(llm: AudioLlm) -> Iterator[nn.Linear]:
    """Yield the matrices that are adapted: of all decoder layers, and both heads."""
    model = llm.model
    for part in (model.layers, model.mimo_layers, llm.lm_head, llm.mimo_output):
        yield from (module for module in part.modules() if isinstance(module, nn.Linear))


def adapt(network: nn.Module, layers: Iterable[nn.Linear], settings: LoraSettings) -> None:
    """Give `layers` of a network adapters, in float32; no other weight of it is learnt."""
    network.requires_grad_(False)
    for layer in layers:
        layer.__class__ = _AdaptedHead if isinstance(layer, Head) else _Adapted
        assert isinstance(layer, _Adapted | _AdaptedHead)
        device, rank = layer.weight.device, settings.rank
        first = torch.empty(rank, layer.in_features, dtype=torch.float32, device=device)
        nn.init.kaiming_uniform_(first, a=math.sqrt(5))
        layer.adapter_a = nn.Parameter(first)
        layer.adapter_b = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))
        layer.adapter_scale = settings.alpha / rank


@torch.no_grad()
def merge(network: nn.Module) -> None:
    """Add the adapters of a network to its weights, and take them away."""
    for layer in list(network.modules()):
        if not isinstance(layer, _Adapted | _AdaptedHead):
            continue
        addition = layer.adapter_scale * (layer.adapter_b @ layer.adapter_a)
        layer.weight.copy_(layer.weight.float() + addition)
        del layer.adapter_a, layer.adapter_b
        plain: Any = Head if isinstance(layer, Head) else nn.Linear
        layer.__class__ = plain
