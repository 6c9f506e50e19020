"""Training of a Band-Split RNN: one step, the loss, and a state that resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wavemill.model.bsrnn.checkpoint import save_checkpoint
from wavemill.model.bsrnn.config import PRESETS, BsrnnConfig
from wavemill.model.bsrnn.mixing import Mixer, MixSettings
from wavemill.model.bsrnn.network import LEVEL_FLOOR, Bsrnn
from wavemill.model.io.folders import write_atomically

STATE_FILE = "training.safetensors"
NETWORK, OPTIMIZER = "network.", "optimizer."  # prefixes of its tensors


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


class StateError(Exception):
    """A saved training state cannot be continued; says why."""


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


@dataclass
class Trainer:
    """A network under training. Step k is determined by the settings and k alone."""

    settings: TrainSettings
    network: Bsrnn
    optimizer: torch.optim.Adam
    step: int = 0

    @classmethod
    def start(cls, settings: TrainSettings, device: str) -> Trainer:
        """Begin with random weights, which the seed determines."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = Bsrnn(settings.network)
        network.to(device)
        return cls(settings, network, torch.optim.Adam(network.parameters()))

    def batch(self, mixer: Mixer) -> tuple[Tensor, Tensor]:
        """Draw the mixtures of the step to come: (noisy, target), float32 (batch, samples)."""
        rng = np.random.default_rng((self.settings.seed, self.step))
        drawn = [mixer.draw(rng) for _ in range(self.settings.batch)]
        device = next(self.network.parameters()).device
        noisy = np.stack([mixture.noisy for mixture in drawn])
        target = np.stack([mixture.target for mixture in drawn])
        return torch.from_numpy(noisy).to(device), torch.from_numpy(target).to(device)

    def learn(self, noisy: Tensor, target: Tensor) -> float:
        """Do one step on a batch; return its loss."""
        settings = self.settings
        rate = settings.learning_rate * 0.5 ** (self.step / settings.half_life_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.network, noisy, target, settings)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.largest_gradient)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write a checkpoint for the engine, and beside it the state to resume from."""
        from safetensors.torch import save

        save_checkpoint(self.network, folder)
        tensors = {f"{NETWORK}{name}": t for name, t in self.network.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{number}.{name}": t for name, t in moments.items()}
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        notes = {"settings": self.settings.model_dump_json(), "step": str(self.step)}
        write_atomically(folder / STATE_FILE, save(whole, notes))

    @classmethod
    def resume(cls, folder: Path, settings: TrainSettings, device: str) -> Trainer:
        """Continue from `folder`; raises StateError when it was trained with other settings."""
        path = folder / STATE_FILE
        earlier, step, tensors = _read_state(path)
        if earlier != settings:
            fields = (n for n in TrainSettings.model_fields if _differ(n, earlier, settings))
            raise StateError(
                f"{path} was trained with another {', '.join(fields)}; "
                "choose another folder, or the same settings"
            )
        trainer = cls.start(settings, device)
        trainer.network.load_state_dict(_below(NETWORK, tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(OPTIMIZER, tensors).items():
            number, _, kind = name.partition(".")
            moments.setdefault(int(number), {})[kind] = tensor
        groups = trainer.optimizer.state_dict()["param_groups"]
        trainer.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        trainer.step = step
        return trainer


def _read_state(path: Path) -> tuple[TrainSettings, int, dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return TrainSettings.model_validate_json(notes["settings"]), int(notes["step"]), tensors
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise StateError(f"cannot resume from {path}: {error}") from None


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _differ(name: str, first: TrainSettings, second: TrainSettings) -> bool:
    return getattr(first, name) != getattr(second, name)
