"""Scale-invariant signal-to-distortion ratio, and how much a network improves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wavemill.model.bsrnn.mixing import Mixer, Mixture
from wavemill.model.bsrnn.network import Bsrnn


def si_sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    """Return the SI-SDR in dB of float32 (samples,) against a target (Le Roux et al. 2019)."""
    a, b = estimate.astype(np.float64), target.astype(np.float64)
    projection = (a @ b) / (b @ b) * b
    return float(10 * np.log10((projection @ projection) / np.sum((a - projection) ** 2)))


@dataclass(frozen=True)
class Condition:
    """Mixtures of one kind that training never draws."""

    name: str
    mixtures: tuple[Mixture, ...]


@dataclass(frozen=True)
class Result:
    """Means over the mixtures of a condition, dB."""

    name: str
    count: int
    before: float
    after: float
    worst: float  # smallest improvement of a single mixture

    def __str__(self) -> str:
        return (
            f"{self.name}: SI-SDR {self.before:5.2f} -> {self.after:5.2f} dB, "
            f"{self.after - self.before:+.2f} dB (mean of {self.count}, worst {self.worst:+.2f})"
        )


def conditions(
    mixer: Mixer, seed: int, snrs_db: Sequence[float], count: int
) -> tuple[Condition, ...]:
    """Draw `count` mixtures per SNR without a room, and as many with one if there are rooms."""
    made = []
    for room in (False, True) if mixer.rooms.clips else (False,):
        for number, snr in enumerate(snrs_db):
            rng = np.random.default_rng((seed, int(room), number))
            mixtures = tuple(mixer.draw(rng, snr, room) for _ in range(count))
            made.append(Condition(f"{snr:g} dB{', room' if room else ''}", mixtures))
    return tuple(made)


def measure(network: Bsrnn, condition: Condition) -> Result:
    """Enhance every mixture of a condition and compare."""
    device = next(network.parameters()).device
    pairs = []
    network.eval()
    with torch.inference_mode():
        for mixture in condition.mixtures:
            noisy = torch.from_numpy(mixture.noisy)[None].to(device)
            enhanced = network(noisy)[0].cpu().numpy()
            pairs.append((si_sdr(mixture.noisy, mixture.target), si_sdr(enhanced, mixture.target)))
    before, after = (float(np.mean(values)) for values in zip(*pairs, strict=True))
    worst = min(b - a for a, b in pairs)
    return Result(condition.name, len(pairs), before, after, worst)
