"""A codebook: the log-mel stacks that semantic tokens stand for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from wavemill.model.tokenizer.kmeans import FRAMES_PER_TOKEN, N_MELS, Codebook, stacks_of
from wavemill.stages.engine import EngineUnavailable

__all__ = [
    "SHIPPED",
    "Codebook",
    "codebook_identity",
    "load_codebook",
    "save_codebook",
    "stacks_of",
]

SHIPPED = Path(__file__).parent / "codebook.npz"
LARGEST_VALUE = 1e4  # dB; float16 ends at 65504


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
    width = FRAMES_PER_TOKEN * N_MELS
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


FIT = "fit one with `python -m wavemill.stages.tokenize.fit --out codebook.npz FOLDER...`"
