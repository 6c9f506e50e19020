"""Band-Split RNN (Yu et al. 2022, arXiv 2212.00406; report 3.1) with a checkpoint of our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from wavemill.model.bsrnn.checkpoint import checkpoint_identity, load_checkpoint
from wavemill.model.bsrnn.config import BsrnnConfig
from wavemill.model.io.folders import CONFIG_FILE, WEIGHTS_FILE, WeightsError, validated
from wavemill.stages.declared import Declared, LocalFiles
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.windows import WindowPlan, in_windows
from wavemill.stages.engine import EngineConfig, EngineUnavailable

REMEDY = (
    "remedy: set denoise.bsrnn.weights to a folder with config.json and model.safetensors, "
    "as `python -m wavemill.model.bsrnn.train` writes it"
)


class BsrnnEngineConfig(EngineConfig):
    """Where the weights are, and how long audio is cut for the bidirectional recurrences."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"weights"})

    weights: str | None = None  # folder of a checkpoint
    window_seconds: float = Field(10.0, gt=0)
    overlap_seconds: float = Field(1.0, ge=0)  # cross-faded; at most half a window
    batch_windows: int = Field(4, ge=1)  # windows that go through the network together

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if 2 * self.overlap_seconds > self.window_seconds:
            raise ValueError("overlap_seconds must be at most half of window_seconds")
        return self


class BSRNN(DenoiseEngine[BsrnnEngineConfig]):
    """Removes noise and reverberation, and with them music and other sounds, at 48 kHz."""

    name = "bsrnn"
    Config = BsrnnEngineConfig
    sample_rate = 48_000
    packages = ("torch", "safetensors")

    def weights_identity(self) -> str:
        try:
            return checkpoint_identity(self._folder())
        except WeightsError as error:
            raise _unavailable(str(error)) from error

    def weights(self) -> Sequence[Declared]:
        return (LocalFiles(self._folder(), "weights", (CONFIG_FILE, WEIGHTS_FILE)),)

    def load(self, device: str) -> None:
        self.check_packages()
        import torch

        folder = self._folder()
        try:
            rate = validated(BsrnnConfig, folder).sample_rate
            if rate != self.sample_rate:
                raise WeightsError(f"{folder} is for {rate} Hz, not {self.sample_rate}")
            network = load_checkpoint(folder)
        except WeightsError as error:
            raise _unavailable(str(error)) from error
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineUnavailable(
                f"denoise engine 'bsrnn': there is no device {device!r}; "
                "remedy: set denoise.device to cpu"
            )
        torch.set_num_threads(1)
        self._device = torch.device(device)
        self._network = network.to(self._device)

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        window = round(self.config.window_seconds * self.sample_rate)
        overlap = min(round(self.config.overlap_seconds * self.sample_rate), window // 2)
        return in_windows(audio, WindowPlan(window, overlap, self.config.batch_windows), self._run)

    def _run(self, windows: np.ndarray) -> np.ndarray:
        """Enhance float32 (windows, samples), each window by itself."""
        import torch

        with torch.inference_mode():
            noisy = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device)
            enhanced: np.ndarray = self._network(noisy).cpu().numpy()
        return enhanced

    def _folder(self) -> Path:
        if self.config.weights is None:
            raise _unavailable("no weights are named")
        folder = Path(self.config.weights)
        if not folder.is_dir():
            raise _unavailable(f"there is no folder {self.config.weights}")
        return folder


def _unavailable(problem: str) -> EngineUnavailable:
    return EngineUnavailable(f"denoise engine 'bsrnn': {problem}; {REMEDY}")
