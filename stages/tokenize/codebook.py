"""A codebook: the log-mel stacks that semantic tokens stand for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from model import mel
from stages.engine import EngineUnavailable

SHIPPED = Path(__file__).parent / "codebook.npz"
VECTORS_AT_ONCE = 4096  # bounds memory while vectors are held against centroids
LARGEST_VALUE = 1e4  # dB; float16 ends at 65504


@dataclass(frozen=True)
class Codebook:
    """Centroids of normalised log-mel stacks, dB relative to the utterance's level."""

    centroids: np.ndarray  # float32 (vocab_size, FRAMES_PER_TOKEN * N_MELS)
    metadata: dict[str, Any]  # how it was fitted

    def nearest(self, stacks: np.ndarray) -> np.ndarray:
        """Return the index of the nearest centroid for each of `stacks`: int32 (tokens,).

        Computed in float64 and for each call alone, so that rounding decides no token.
        """
        centroids, half_norms = self._exact
        parts = [np.zeros(0, np.int32)]
        for first in range(0, len(stacks), VECTORS_AT_ONCE):
            block = stacks[first : first + VECTORS_AT_ONCE].astype(np.float64)
            scores = block @ centroids.T - half_norms
            parts.append(np.argmax(scores, axis=1).astype(np.int32))
        return np.concatenate(parts)

    @cached_property
    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        centroids = self.centroids.astype(np.float64)
        return centroids, 0.5 * np.sum(centroids**2, axis=1)

    def mel(self, tokens: np.ndarray) -> np.ndarray:
        """Return the log-mel frames that tokens stand for, (tokens * FRAMES_PER_TOKEN, N_MELS)."""
        return mel.unstack(self.centroids[tokens])


def stacks_of(audio: np.ndarray, count: int) -> np.ndarray:
    """Return `count` normalised log-mel stacks of `audio`, float32 (samples,) at 16 kHz."""
    return mel.stack(mel.normalise(mel.log_mel(audio, count * mel.FRAMES_PER_TOKEN)))


def save_codebook(path: Path, codebook: Codebook) -> None:
    """Write centroids as float16 and metadata as JSON; the same codebook gives the same bytes."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            centroids=codebook.centroids.astype(np.float16),
            metadata=np.array(json.dumps(codebook.metadata, sort_keys=True)),
        )


def load_codebook(path: Path) -> Codebook:
    """Read a codebook. Raises EngineUnavailable when the file is missing or is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            centroids = file["centroids"].astype(np.float32)
            metadata = json.loads(str(file["metadata"]))
    except FileNotFoundError as error:
        raise EngineUnavailable(f"there is no codebook at {path}; remedy: {FIT}") from error
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise EngineUnavailable(f"{path} is not a codebook ({error}); remedy: {FIT}") from error
    width = mel.FRAMES_PER_TOKEN * mel.N_MELS
    if centroids.ndim != 2 or centroids.shape[1] != width or not len(centroids):
        raise EngineUnavailable(f"{path} holds centroids {centroids.shape}, not (size, {width})")
    if not np.all(np.abs(centroids) < LARGEST_VALUE):
        raise EngineUnavailable(f"{path} holds centroids that are no levels in dB")
    return Codebook(centroids, metadata)


def codebook_identity(path: Path) -> str:
    """Return the hash of the file's bytes. Raises EngineUnavailable when there is none."""
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        raise EngineUnavailable(f"cannot read the codebook {path}; remedy: {FIT}") from error


FIT = "fit one with `python -m stages.tokenize.fit --out codebook.npz FOLDER...`"
