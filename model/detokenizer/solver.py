"""One chunk: noise to mel frames behind a history, and frames that are given into a history.

The flow is integrated from noise (time 0) to mel frames (time 1) by Euler's method, at the times
of the published code, since a checkpoint is tuned to the times that it is asked for; see
`docs/published-format.md`, "Time grid".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wavemill.model.detokenizer.config import FlowConfig, StreamSettings
from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue
from wavemill.model.detokenizer.history import History

CLEAN_TIME = 999  # the network's time for frames that are given, not solved

Noise = Callable[[int], Tensor]  # frames -> float32 (frames, mel bands), standard normal


@dataclass(frozen=True)
class EulerStep:
    """One evaluation: at `time` in 0 ... 1, then `size` ahead; float32 values."""

    time: float
    size: float

    @property
    def network_time(self) -> int:
        """Integer part of 1000 * time; time has float32's rounding, so 0.5 may give 499."""
        return int(torch.tensor(self.time, dtype=torch.float32) * 1000)


def euler_steps(points: int) -> tuple[EulerStep, ...]:
    """Return the steps over a grid of `points` >= 2 from 0 to 1.

    There are points - 1, from the left ends, and time is added up in float32. Raises ValueError
    for fewer points.
    """
    if points < 2:
        raise ValueError(f"a time grid needs 2 points or more, not {points}")
    grid = torch.linspace(0, 1, points, dtype=torch.float32)
    steps, time = [], grid[0]
    for after in grid[1:]:
        size = after - time
        steps.append(EulerStep(float(time), float(size)))
        time = time + size
    return tuple(steps)


def integrate(
    velocity: Callable[[Tensor, int], Tensor], x: Tensor, path: Sequence[EulerStep]
) -> Tensor:
    """Return `x` at the end of `path`; `velocity` gets the state and the network's time."""
    for step in path:
        x = x + step.size * velocity(x, step.network_time)
    return x


def seeded_noise(generator: torch.Generator, bands: int) -> Noise:
    """Return noise drawn from `generator`, which must be on the CPU, as the published code does."""
    return lambda frames: torch.randn(frames, bands, generator=generator)


def normalise(mel: Tensor, config: FlowConfig) -> Tensor:
    """Return log-mel values as the network sees them."""
    return (mel - config.mel_mean) / config.mel_std if config.normalize_mel else mel


def denormalise(x: Tensor, config: FlowConfig) -> Tensor:
    """Undo `normalise`."""
    return x * config.mel_std + config.mel_mean if config.normalize_mel else x


class ChunkSolver:
    """The network and the steps; the state between them is float32, whatever the weights are.

    In the published code the state has the network's dtype, which in bfloat16 costs more accuracy
    than the network's own rounding.
    """

    state_dtype = torch.float32

    def __init__(self, network: FlowNetwork, settings: StreamSettings) -> None:
        self.network = network
        self.path = euler_steps(settings.ode_points)
        weight = network.input_linear.weight
        self.device, self.dtype = weight.device, weight.dtype

    @torch.inference_mode()
    def solve(self, tokens: Tensor, noise: Tensor, history: History) -> Tensor:
        """Return normalised mel (frames, bands), in the dtype of the state.

        `tokens` int64 (frames,), `noise` float32 (frames, bands); the frames follow `history`.
        """
        past = history.past(self.network)

        def velocity(x: Tensor, time: int) -> Tensor:
            return self.evaluate(x, tokens, time, history, past)[0].to(self.state_dtype)

        return integrate(velocity, noise.to(self.device, self.state_dtype), self.path)

    @torch.inference_mode()
    def observe(self, x: Tensor, tokens: Tensor, history: History) -> History:
        """Return `history` extended by frames known to be clean: `x` normalised (frames, bands)."""
        past = history.past(self.network)
        return history.extended(self.evaluate(x, tokens, CLEAN_TIME, history, past)[1])

    def evaluate(
        self, x: Tensor, tokens: Tensor, time: int, history: History, past: list[KeyValue]
    ) -> tuple[Tensor, list[KeyValue]]:
        """Return velocities (frames, bands), and per block keys and values of the frames."""
        velocity, key_values = self.network(
            x.to(self.device, self.dtype)[None],
            tokens.to(self.device)[None],
            torch.tensor([time], device=self.device),
            history.upcoming(len(tokens))[None],
            past,
        )
        return velocity[0], key_values
