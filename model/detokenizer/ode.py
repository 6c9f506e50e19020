"""Integration of the flow from noise (time 0) to mel frames (time 1).

Fixtures: detokenizer, section 3. Both solvers are Euler's and are kept exactly as published, since
a checkpoint is tuned to the times that it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CLEAN_TIME = 999  # the network's time for frames that are given, not solved
NAIVE_SPAN = 0.9999


@dataclass(frozen=True)
class Step:
    """One evaluation: at `time` in 0 ... 1, then `size` ahead; float32 values."""

    time: float
    size: float

    @property
    def network_time(self) -> int:
        """Integer part of 1000 * time; time has float32's rounding, so 0.5 may give 499."""
        return int(torch.tensor(self.time, dtype=torch.float32) * 1000)


def steps(solver: str, points: int) -> tuple[Step, ...]:
    """Return the steps of `solver` over a grid of `points` >= 2 from 0 to 1.

    "neural_ode_euler" makes points - 1 steps from the left ends, adding time up in float32;
    "naive_euler" evaluates at every point, 1 included, in steps of 0.9999 / points.
    """
    if points < 2:
        raise ValueError(f"a time grid needs 2 points or more, not {points}")
    grid = torch.linspace(0, 1, points, dtype=torch.float32)
    if solver == "naive_euler":
        return tuple(Step(float(time), NAIVE_SPAN / points) for time in grid)
    if solver != "neural_ode_euler":
        raise ValueError(f"no solver {solver!r}; there are neural_ode_euler and naive_euler")
    made, time = [], grid[0]
    for after in grid[1:]:
        size = after - time
        made.append(Step(float(time), float(size)))
        time = time + size
    return tuple(made)


def integrate(velocity: Callable[[Tensor, int], Tensor], x: Tensor, path: Sequence[Step]) -> Tensor:
    """Return `x` at the end of `path`; `velocity` gets the state and the network's time."""
    for step in path:
        x = x + step.size * velocity(x, step.network_time)
    return x
