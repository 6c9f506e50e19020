"""The report's own tokenizer (2.2): a Whisper encoder with a codebook inside, GLM-4-Voice's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from wavemill.model.io.folders import (
    CONFIG_FILE,
    HUB_FILES,
    WEIGHTS_FILE,
    WeightsError,
    files_of,
    is_hub_id,
    read_config,
    resolve,
)
from wavemill.stages.declared import Declared, HubFiles, LocalFiles
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.tokenize.engine import TokenizeEngine
from wavemill.stages.weights import sha256_of_file

SAMPLE_RATE = 16_000  # Hz
TOKEN_SAMPLES = 1280  # 80 ms
REMEDY = (
    "remedy: set tokenize.whisper_vq.weights to a folder with config.json and model.safetensors, "
    "or to the name of a hub repository (owner/name) that can be reached"
)


class WhisperVqConfig(EngineConfig):
    """Which checkpoint, and how much goes through the network at once."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"weights", "revision"})

    weights: str = "THUDM/glm-4-voice-tokenizer"  # a folder or a hub repository
    revision: str = "main"  # at the hub; only a commit names the weights for good
    pieces_at_once: int = 16  # of 30 s; clips of similar length share a batch, padding is masked


class WhisperVq(TokenizeEngine[WhisperVqConfig]):
    """Tokens that were trained to keep what is said, in float32."""

    name = "whisper_vq"
    version = 1
    Config = WhisperVqConfig
    packages = ("torch", "transformers", "safetensors", "huggingface_hub")
    extra = "model"

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    @cached_property
    def vocab_size(self) -> int:
        """Reads `config.json` alone, which a hub repository may have to be asked for."""
        try:
            return int(read_config(self._folder(CONFIG_FILE))["quantize_vocab_size"])
        except (WeightsError, KeyError) as error:
            raise _unavailable(error) from error

    def weights_identity(self) -> str:
        """Return a hash of the content of a folder's files, or name and commit at the hub."""
        if is_hub_id(self.config.weights):
            return f"{self.config.weights}@{self.pinned().revision}"
        digest = hashlib.sha256()
        try:
            for path in files_of(self._folder()):
                digest.update(sha256_of_file(path).encode())
        except WeightsError as error:
            raise _unavailable(error) from error
        except OSError as error:
            problem = WeightsError(f"cannot read {error.filename}: {error.strerror}")
            raise _unavailable(problem) from error
        return f"sha256:{digest.hexdigest()}"

    def pinned(self) -> WhisperVqConfig:
        (one,) = self.weights()
        if not isinstance(one, HubFiles):
            return self.config
        try:
            return self.config.model_copy(update={"revision": one.commit()})
        except EngineUnavailable as error:
            why = str(error).partition("; remedy")[0]
            raise _unavailable(WeightsError(why)) from error

    def weights(self) -> Sequence[Declared]:
        weights, needed = self.config.weights, (CONFIG_FILE, WEIGHTS_FILE)
        if not is_hub_id(weights):
            return (LocalFiles(Path(weights), "weights", needed),)
        return (HubFiles(weights, "weights", needed, HUB_FILES, "", self.config.revision),)

    def check(self) -> None:
        super().check()
        _ = self.vocab_size

    def load(self, device: str) -> None:
        self.check_packages()
        import torch

        from wavemill.model.tokenizer.pieces import PIECE_FRAMES
        from wavemill.model.tokenizer.semantic import SemanticTokenizer

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineUnavailable(
                f"tokenize engine 'whisper_vq': there is no device {device!r}; "
                "remedy: set tokenize.device to cpu"
            )
        torch.set_num_threads(1)
        try:
            self._tokenizer = SemanticTokenizer.from_pretrained(self._folder(), device)
        except (WeightsError, ValueError) as error:
            raise _unavailable(error) from error
        self._tokenizer.frames_at_once = self.config.pieces_at_once * PIECE_FRAMES

    def tokens(self, clips: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
        fitted = [
            _fitted(clip, count * TOKEN_SAMPLES) for clip, count in zip(clips, counts, strict=True)
        ]
        return [codes.astype(np.int32) for codes in self._tokenizer.encode(fitted)]

    def _folder(self, *files: str) -> Path:
        """Return the checkpoint's folder, with all that is needed or just some files of a hub's."""
        try:
            return resolve(self.config.weights, self.config.revision, files or HUB_FILES)
        except WeightsError as error:
            raise _unavailable(error) from error


def _fitted(clip: np.ndarray, samples: int) -> np.ndarray:
    """Return a clip that gives as many tokens as wanted; where it reaches, it keeps its length."""
    if len(clip) > samples - TOKEN_SAMPLES:
        return clip[:samples]
    return np.pad(clip, (0, samples - len(clip)))


def _unavailable(problem: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"tokenize engine 'whisper_vq': {problem}; {REMEDY}")
