"""A Band-Split RNN as a learner of the training loop: its settings, its mixtures and its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from wavemill.model.bsrnn.checkpoint import save_checkpoint
from wavemill.model.bsrnn.config import PRESETS, BsrnnConfig
from wavemill.model.bsrnn.mixing import Mixer, MixSettings
from wavemill.model.bsrnn.network import LEVEL_FLOOR, Bsrnn
from wavemill.model.data.source import Batches, Share
from wavemill.model.train.learner import MAIN, Learner, Loss, Progress
from wavemill.model.train.recipe import (
    CheckpointSettings,
    EvaluationSettings,
    LoopSettings,
    OptimizerSettings,
)


class TrainSettings(BaseModel):
    """Everything that determines the weights after a number of steps, beside the audio."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: BsrnnConfig = BsrnnConfig()
    mix: MixSettings = MixSettings()
    seed: int = Field(0, ge=0)
    batch: int = Field(8, ge=1)  # mixtures a step
    learning_rate: float = Field(1e-3, gt=0)  # of Adam (Luo and Yu 2022)
    half_life_steps: int = Field(100_000, ge=1)  # the rate halves over so many steps
    largest_gradient: float = Field(5.0, gt=0)  # norm; Luo and Yu 2022
    waveform_weight: float = Field(1.0, ge=0)
    complex_weight: float = Field(1.0, ge=0)
    magnitude_weight: float = Field(1.0, ge=0)

    @property
    def step_units(self) -> int:
        """Milliseconds of audio that a step learns from."""
        return max(1, round(1000 * self.mix.seconds * self.batch))

    def loop(self, save_minutes: float = 10.0) -> LoopSettings:
        """Return the training loop's settings: Adam without decay, one micro-batch a step."""
        return LoopSettings(
            seed=self.seed,
            optimizer=OptimizerSettings(
                learning_rate=self.learning_rate,
                half_life_steps=self.half_life_steps,
                warm_up=0.0,
                betas=(0.9, 0.999),
                weight_decay=0.0,
                largest_gradient=self.largest_gradient,
            ),
            checkpoint=CheckpointSettings(minutes=save_minutes),
            evaluation=EvaluationSettings(batches=0, examples=0),
        )


TRAIN_PRESETS: dict[str, TrainSettings] = {
    "paper": TrainSettings(),
    "tiny": TrainSettings(
        network=PRESETS["tiny"],
        mix=MixSettings(seconds=1.5),
        batch=4,
        learning_rate=4e-3,
        half_life_steps=200,
    ),
}


@dataclass(frozen=True)
class NoisyBatch:
    """Mixtures of one step."""

    ids: tuple[str, ...]
    units: int  # milliseconds
    noisy: Tensor  # float32 (mixtures, samples)
    target: Tensor  # the same

    def to(self, device: torch.device) -> NoisyBatch:
        return NoisyBatch(self.ids, self.units, self.noisy.to(device), self.target.to(device))


class Mixtures(Batches[NoisyBatch]):
    """Mixtures made on the fly: those of micro-batch i follow from the settings and i alone."""

    def __init__(self, mixer: Mixer, settings: TrainSettings, share: Share | None = None) -> None:
        self._mixer, self._settings = mixer, settings
        self._share = share or Share()
        self._next = 0  # of all ranks

    def __next__(self) -> NoisyBatch:
        settings, number = self._settings, self._next + self._share.rank
        rng = np.random.default_rng((settings.seed, number))
        drawn = [self._mixer.draw(rng) for _ in range(settings.batch)]
        self._next += self._share.world
        return NoisyBatch(
            (f"mixtures {number}",),
            settings.step_units,
            torch.from_numpy(np.stack([mixture.noisy for mixture in drawn])),
            torch.from_numpy(np.stack([mixture.target for mixture in drawn])),
        )

    def state(self) -> dict[str, Any]:
        return {"next": self._next}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._next = int(state["next"])


class BsrnnLearner(Learner[NoisyBatch]):
    """Learns to give the target back from the mixture."""

    def __init__(self, settings: TrainSettings) -> None:
        """Begin with random weights, which the seed determines."""
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = Bsrnn(settings.network)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {MAIN: list(self.network.parameters())}

    def loss(self, optimizer: str, batch: NoisyBatch, progress: Progress) -> Loss:
        del optimizer, progress
        count = float(len(batch.noisy))
        total = count * loss_of(self.network, batch.noisy, batch.target, self.settings)
        return Loss(total, count, {"loss": (total.detach(), torch.tensor(count))})

    def export(self, folder: Path) -> None:
        """Write the checkpoint that the denoise engine reads."""
        save_checkpoint(self.network, folder)


def loss_of(network: Bsrnn, noisy: Tensor, target: Tensor, settings: TrainSettings) -> Tensor:
    """Return the loss of a batch, float32 (B, samples) both: mean absolute errors.

    Of the waveform and of the spectrum's real and imaginary parts (Luo and Yu 2022), and of its
    magnitude. Each item counts the same, however loud: the mixture's RMS is taken as 1.
    """
    level = noisy.square().mean(-1, keepdim=True).sqrt().clamp_min(LEVEL_FLOOR)
    estimate, wanted = network(noisy) / level, target / level
    have, want = network.stft(estimate), network.stft(wanted)
    difference = have - want
    parts = difference.real.abs().mean() + difference.imag.abs().mean()
    # The root has no gradient at zero: empty bands would give one that is not a number.
    magnitudes = ((s.real**2 + s.imag**2 + 1e-10).sqrt() for s in (have, want))
    magnitude = (next(magnitudes) - next(magnitudes)).abs().mean()
    return (
        settings.waveform_weight * (estimate - wanted).abs().mean()
        + settings.complex_weight * parts
        + settings.magnitude_weight * magnitude
    )
