"""Networks divided up among workers by FSDP2, for those that do not fit on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from wavemill.model.train.ranks import Ranks
from wavemill.model.train.settings import LoopSettings


def sharded(
    modules: Mapping[str, nn.Module],
    blocks: Sequence[nn.Module],
    settings: LoopSettings,
    ranks: Ranks,
) -> None:
    """Divide parameters up, in place: blocks are gathered one at a time, the rest together.

    Gradients are added up over ranks, not averaged, and in float32. The process group must be
    there already.
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if settings.precision == "bfloat16" else None,
        reduce_dtype=torch.float32,
    )
    for part in (*blocks, *modules.values()):
        fully_shard(part, mesh=mesh, mp_policy=policy)
        assert isinstance(part, FSDPModule)
        part.set_gradient_divide_factor(1.0)
        if ranks.device.type == "cpu":  # gloo knows no scaled sums
            part.set_force_sum_reduction_for_comms(True)
