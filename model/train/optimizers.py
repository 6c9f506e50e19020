"""AdamW for weights that are kept in bfloat16 alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

LOW_BITS = 16  # of a float32, which bfloat16 lacks


def rounded(value: Tensor) -> Tensor:
    """Return float32 values in bfloat16, rounded up or down at random, right on average.

    With the usual rounding, an update below 1/512 of a weight would never change it. torch's
    generator decides.
    """
    bits = value.view(torch.int32)
    noise = torch.randint_like(bits, 1 << LOW_BITS)
    return ((bits + noise) & -(1 << LOW_BITS)).view(torch.float32).to(torch.bfloat16)


class RoundingAdamW(torch.optim.Optimizer):
    """AdamW whose weights and moments are bfloat16; each step is computed in float32.

    8 bytes a weight, gradient included; AdamW in float32 takes 16.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._one(
                        parameter, group["lr"], group["betas"], group["eps"], group["weight_decay"]
                    )

    def _one(
        self, parameter: Tensor, rate: float, betas: tuple[float, float], eps: float, decay: float
    ) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        number = float(state["step"])
        assert parameter.grad is not None
        weight, gradient = _own(parameter), _own(parameter.grad)
        mean, square = _own(state["exp_avg"]), _own(state["exp_avg_sq"])
        gradient = gradient.float()
        first = mean.float().lerp_(gradient, 1 - betas[0])
        second = square.float().lerp_(gradient.square(), 1 - betas[1])
        mean.copy_(_like(first, mean))
        square.copy_(_like(second, square))
        size = (second / (1 - betas[1] ** number)).sqrt_().add_(eps)
        wanted = weight.float().mul_(1 - rate * decay)
        wanted.addcdiv_(first, size, value=-rate / (1 - betas[0] ** number))
        weight.copy_(_like(wanted, weight))


def _own(tensor: Tensor) -> Tensor:
    """Return this worker's part of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(value: Tensor, other: Tensor) -> Tensor:
    return rounded(value) if other.dtype == torch.bfloat16 else value
