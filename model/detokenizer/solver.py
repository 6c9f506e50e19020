"""One chunk: noise to mel frames behind a history, and frames that are given into a history."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wavemill.model.detokenizer.config import FlowConfig, StreamSettings
from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.ode import CLEAN_TIME, integrate, steps

Noise = Callable[[int], Tensor]  # frames -> float32 (frames, mel bands), standard normal


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
    """The network, the steps, and whether the state between them is float32.

    In published mode the state has the network's dtype, which in bfloat16 costs more accuracy than
    the network's own rounding (fixtures: `bf16_breakdown_mel_error`); by default it is float32.
    """

    def __init__(self, network: FlowNetwork, settings: StreamSettings) -> None:
        self.network = network
        self.path = steps(settings.solver, settings.ode_points)
        weight = network.input_linear.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.state_dtype = self.dtype if settings.mode == "published" else torch.float32

    @torch.inference_mode()
    def solve(
        self, tokens: Tensor, noise: Tensor, history: History
    ) -> tuple[Tensor, list[KeyValue]]:
        """Return normalised mel (frames, bands), and keys and values of the last evaluation.

        `tokens` int64 (frames,), `noise` float32 (frames, bands); the frames follow `history`.
        """
        past = history.past(self.network)
        newest: list[KeyValue] = []

        def velocity(x: Tensor, time: int) -> Tensor:
            nonlocal newest
            out, newest = self._evaluate(x, tokens, time, history, past)
            return out.to(self.state_dtype)

        return integrate(velocity, noise.to(self.device, self.state_dtype), self.path), newest

    @torch.inference_mode()
    def observe(self, x: Tensor, tokens: Tensor, history: History) -> History:
        """Return `history` extended by frames known to be clean: `x` normalised (frames, bands)."""
        past = history.past(self.network)
        _, key_values = self._evaluate(x, tokens, CLEAN_TIME, history, past)
        return history.extended(key_values)

    def _evaluate(
        self, x: Tensor, tokens: Tensor, time: int, history: History, past: list[KeyValue]
    ) -> tuple[Tensor, list[KeyValue]]:
        velocity, key_values = self.network(
            x.to(self.device, self.dtype)[None],
            tokens.to(self.device)[None],
            torch.tensor([time], device=self.device),
            history.upcoming(len(tokens))[None],
            past,
        )
        return velocity[0], key_values
