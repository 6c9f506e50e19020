"""Checkpoints of a denoiser: a folder with `config.json` and `model.safetensors`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from wavemill.model.bsrnn.config import BsrnnConfig
from wavemill.model.io.folders import CONFIG_FILE, WEIGHTS_FILE, WeightsError, validated

if TYPE_CHECKING:
    from wavemill.model.bsrnn.network import Bsrnn

HASH_CHUNK = 1 << 20  # bytes


def save_checkpoint(network: Bsrnn, folder: Path) -> None:
    """Write `network` to `folder` (made if need be); each file appears whole or not at all."""
    from wavemill.model.io.tensors import save

    save(network, network.config.model_dump(mode="json"), folder)


def load_checkpoint(folder: Path) -> Bsrnn:
    """Return the network of a checkpoint, on the CPU and in evaluation mode.

    Raises WeightsError when a file is missing or broken, and when a tensor is missing, is not of
    the network, or has another shape or dtype than `config.json` calls for.
    """
    from wavemill.model.bsrnn.network import Bsrnn
    from wavemill.model.io.tensors import assign, stored_tensors

    network = Bsrnn(validated(BsrnnConfig, folder))
    assign(network, stored_tensors(folder), folder, exact=True)
    return network.eval()


def checkpoint_identity(folder: Path) -> str:
    """Return a hash of both files' content, e.g. "bsrnn 0123456789abcdef"; raises WeightsError.

    Neither torch nor safetensors is imported.
    """
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        path = folder / name
        try:
            digest.update(f"{name} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while chunk := file.read(HASH_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    return f"bsrnn {digest.hexdigest()[:16]}"
