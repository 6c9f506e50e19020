"""Checkpoints: a folder with `config.json` and `model.safetensors`, nothing that is executed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from wavemill.model.bsrnn.config import BsrnnConfig

if TYPE_CHECKING:
    from torch import Tensor

    from wavemill.model.bsrnn.network import Bsrnn

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
HASH_CHUNK = 1 << 20  # bytes


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit: one line that names file or tensor."""


def save_checkpoint(network: Bsrnn, folder: Path) -> None:
    """Write `network` to `folder` (made if need be); each file appears whole or not at all."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    config = network.config.model_dump_json(indent=2) + "\n"
    write_atomically(folder / CONFIG_FILE, config.encode())
    write_atomically(folder / WEIGHTS_FILE, save(weights))


def load_checkpoint(folder: Path) -> Bsrnn:
    """Return the network of a checkpoint, on the CPU and in evaluation mode.

    Raises CheckpointError when a file is missing or broken, and when a tensor is missing, is not
    of the network, or has another shape or dtype than `config.json` calls for.
    """
    from wavemill.model.bsrnn.network import Bsrnn

    network = Bsrnn(load_config(folder))
    weights = _read_weights(folder / WEIGHTS_FILE)
    check_tensors(network.state_dict(), weights, folder / WEIGHTS_FILE)
    network.load_state_dict(weights)
    return network.eval()


def load_config(folder: Path) -> BsrnnConfig:
    """Return the configuration of a checkpoint; raises CheckpointError."""
    path = folder / CONFIG_FILE
    try:
        return BsrnnConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CheckpointError(f"{path}: {field}: {first['msg']}") from None


def checkpoint_identity(folder: Path) -> str:
    """Return a hash of both files' content, e.g. "bsrnn 0123456789abcdef"; raises CheckpointError.

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
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    return f"bsrnn {digest.hexdigest()[:16]}"


def check_tensors(wanted: dict[str, Tensor], found: dict[str, Tensor], path: Path) -> None:
    """Raise CheckpointError naming the first tensor that is missing, extra or of another kind."""
    for name, tensor in wanted.items():
        if name not in found:
            raise CheckpointError(f"{path}: tensor {name!r} is missing")
        have = found[name]
        if (have.shape, have.dtype) != (tensor.shape, tensor.dtype):
            raise CheckpointError(
                f"{path}: tensor {name!r} is {have.dtype} {tuple(have.shape)}, "
                f"but {CONFIG_FILE} calls for {tensor.dtype} {tuple(tensor.shape)}"
            )
    for name in found:
        if name not in wanted:
            raise CheckpointError(f"{path}: tensor {name!r} is not part of the network")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half written, also after a crash."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"cannot read {path}: no such file")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from None
