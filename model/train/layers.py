"""How the layers of a network run in a training: recomputed, compiled, divided, in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoopSettings

Forward = Callable[..., Any]


def prepare(layers: Iterable[nn.Module], settings: LoopSettings) -> None:
    """Let layers recompute their activations and be compiled, as the settings say, in place.

    What is compiled includes the recomputation, and what divides the parameters up comes last, so
    that its exchanges between workers stay outside. Names of parameters do not change.
    """
    if not settings.recompute and not settings.compile:
        return
    for layer in layers:
        plain: Forward = layer.forward
        learning = partial(checkpoint, plain, use_reentrant=False) if settings.recompute else plain
        if settings.compile:
            learning = torch.compile(learning)
        layer.forward = _for_gradients(learning, plain)


def _for_gradients(learning: Forward, plain: Forward) -> Forward:
    """Return what runs one function where gradients are wanted, and another elsewhere.

    Decoded samples call layers with a cache, for which they would be compiled again and again.
    """

    def run(*args: Any, **given: Any) -> Any:
        return (learning if torch.is_grad_enabled() else plain)(*args, **given)

    return run


def divide(
    modules: Mapping[str, nn.Module],
    groups: Sequence[Sequence[nn.Module]],
    settings: LoopSettings,
    ranks: Ranks,
) -> None:
    """Shard parameters by FSDP2, in place: groups are gathered one at a time, the rest together.

    Gradients are summed over ranks in float32, not averaged. The process group must exist.
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if settings.precision == "bfloat16" else None,
        reduce_dtype=torch.float32,
    )
    for part in (*map(list, groups), *([module] for module in modules.values())):
        fully_shard(part if len(part) > 1 else part[0], mesh=mesh, mp_policy=policy)
        first = part[0]
        assert isinstance(first, FSDPModule)
        first.set_gradient_divide_factor(1.0)
        if ranks.device.type == "cpu":  # gloo knows no scaled sums
            first.set_force_sum_reduction_for_comms(True)
