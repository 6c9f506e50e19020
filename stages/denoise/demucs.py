"""Demucs (Défossez 2021, arXiv 2111.03600; Rouard et al. 2022, arXiv 2211.08553): vocals alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, tee
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from wavemill.stages.audio.resample import rechunk
from wavemill.stages.declared import Declared
from wavemill.stages.denoise.demucs_weights import (
    DISTRIBUTION,
    EXTRA,
    INSTALL,
    Bag,
    check_bag,
    declared,
    find_bag,
    load_networks,
)
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.windows import WindowPlan, in_windows
from wavemill.stages.engine import EngineConfig, EngineUnavailable, package_identity

VOCALS = "vocals"
SHIFT_SECONDS = 0.5  # range of the package's shifts
SILENCE = 1e-8  # added to the deviation, as demucs.separate does


class DemucsConfig(EngineConfig):
    """Parameters of Demucs; defaults of the package but for `shifts`."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"model", "repo"})

    model: str = "htdemucs"  # a bag or a signature
    repo: Path | None = None  # folder of checkpoints; none: the package's own models, by download
    segment_seconds: float | None = Field(None, gt=0)  # window; none: what the model was made for
    overlap: float = Field(0.25, ge=0, le=0.5)  # share of a window
    shifts: int = Field(0, ge=0)  # > 1: mean of so many passes, evenly shifted within 0.5 s
    batch: int = Field(4, ge=1)  # windows at once


class DemucsVocals(DenoiseEngine[DemucsConfig]):
    """The vocals stem of a source separation model: takes out music, ambience and noise.

    The package normalises by mean and deviation of the whole recording, which a stream does not
    know; here each window is normalised by its own and set back after. The hybrid models do the
    same once more inside, so for them it makes no difference beyond a constant of 1e-5. Mono is
    fed to both channels and the channels of the result are averaged.
    """

    name: ClassVar[str] = "demucs"
    sample_rate = 44_100
    Config = DemucsConfig
    packages = (DISTRIBUTION, "torch")
    extra = EXTRA

    def check(self) -> None:
        super().check()
        check_bag(self._bag())

    def weights_identity(self) -> str:
        bag = self._bag()
        return f"{package_identity(DISTRIBUTION)} {self.config.model} {bag.identity()}"

    def weights(self) -> Sequence[Declared]:
        return declared(self._bag())

    def _bag(self) -> Bag:
        return find_bag(self.config.model, self.config.repo)

    def load(self, device: str) -> None:
        self.check_packages()
        bag = self._bag()
        try:
            import torch
            from demucs.apply import BagOfModels
        except (ImportError, OSError) as error:
            raise EngineUnavailable(
                f"engine 'demucs': package {DISTRIBUTION!r} does not import: {error}; remedy: "
                f"{INSTALL}"
            ) from error
        torch.set_num_threads(1)
        try:
            networks = BagOfModels(load_networks(bag), bag.weights, bag.segment)
            self._check(networks)
        except (AssertionError, ValueError) as error:
            raise EngineUnavailable(
                f"engine 'demucs': model {self.config.model!r} of "
                f"{self.config.repo or 'the package'} does not fit: "
                f"{error or 'its networks or weights do not go together'}; remedy: choose another "
                "denoise.demucs.model"
            ) from error
        self._device = torch.device(device)
        self._channels: int = networks.audio_channels
        self._vocals: int = networks.sources.index(VOCALS)
        # A network without a say in the vocals need not run: three of four in htdemucs_ft.
        self._networks: list[tuple[Any, float]] = [
            (network.to(self._device), weights[self._vocals])
            for network, weights in zip(networks.models, networks.weights, strict=True)
            if weights[self._vocals] > 0
        ]
        models: Any = networks.models  # typed as modules, which do not say `segment`
        seconds = self.config.segment_seconds or min(float(m.segment) for m in models)
        self._length = int(seconds * self.sample_rate)

    def _check(self, networks: Any) -> None:
        if networks.samplerate != self.sample_rate:
            raise ValueError(f"it works at {networks.samplerate} Hz, not at {self.sample_rate}")
        if VOCALS not in networks.sources:
            raise ValueError(f"it has no source {VOCALS!r}, only {', '.join(networks.sources)}")
        vocals = networks.sources.index(VOCALS)
        if not any(weights[vocals] > 0 for weights in networks.weights):
            raise ValueError(f"none of its networks has a weight for {VOCALS!r}")
        longest = float(networks.max_allowed_segment)
        if (self.config.segment_seconds or 0) > longest:
            raise ValueError(
                f"its windows are at most {longest:g} s (denoise.demucs.segment_seconds is "
                f"{self.config.segment_seconds:g})"
            )

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        passes = max(1, self.config.shifts)
        step = int(SHIFT_SECONDS * self.sample_rate) // passes
        shifted = [
            rechunk(self._pass(blocks, number * step), self._length)
            for number, blocks in enumerate(tee(audio, passes))
        ]
        for blocks in zip(*shifted, strict=True):
            yield np.asarray(np.mean(blocks, axis=0, dtype=np.float32))

    def _pass(self, audio: Iterator[np.ndarray], delay: int) -> Iterator[np.ndarray]:
        """Run once over the stream with the windows `delay` samples earlier."""
        skip = delay
        blocks = chain([np.zeros(delay, np.float32)], audio) if delay else audio
        # The package rounds the step, not the overlap; half a window of odd length rounds up.
        overlap = self._length - int((1 - self.config.overlap) * self._length)
        plan = WindowPlan(self._length, min(overlap, self._length // 2), self.config.batch)
        for output in in_windows(blocks, plan, self._separate):
            kept = output[skip:]
            skip -= output.size - kept.size
            if kept.size:
                yield kept

    def _separate(self, windows: np.ndarray) -> np.ndarray:
        """Return the vocals of float32 (windows, samples), of which the last may be short."""
        import torch
        from demucs.apply import apply_model

        count, samples = windows.shape
        mean = windows.mean(axis=1, keepdims=True, dtype=np.float64)
        scale = windows.std(axis=1, keepdims=True, dtype=np.float64) + SILENCE
        mix = np.zeros((count, self._length), np.float32)
        mix[:, :samples] = (windows - mean) / scale
        stereo = torch.from_numpy(mix)[:, None].expand(-1, self._channels, -1).to(self._device)
        run = partial(apply_model, shifts=0, split=False, device=self._device)
        with torch.inference_mode():
            vocals: Any = sum(
                run(network, stereo)[:, self._vocals].mean(dim=1) * weight
                for network, weight in self._networks
            ) / sum(weight for _, weight in self._networks)
        separated: np.ndarray = vocals.float().cpu().numpy()
        return (separated[:, :samples] * scale + mean).astype(np.float32)
