"""Folders that hold checkpoints: where they are and what is in them, without importing torch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

C = TypeVar("C", bound=BaseModel)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.yaml", "*.pt")  # what is fetched from a hub


class WeightsError(Exception):
    """A checkpoint cannot be read or does not fit: says which file or tensor."""


def resolve(source: str | Path) -> Path:
    """Return the folder of a checkpoint: a local path, or a hub id ("owner/name") to fetch.

    Raises WeightsError when there is neither.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if isinstance(source, Path) or not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise WeightsError(f"there is no folder {source}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # whatever the hub client raises, the reader needs one line
        raise WeightsError(f"no folder {source}, and not on the hub: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of `config.json`; raises WeightsError."""
    try:
        content = json.loads((folder / CONFIG_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {folder / CONFIG_FILE}: {error}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{folder / CONFIG_FILE} is no JSON object")
    return content


def validated(kind: type[C], folder: Path) -> C:
    """Return `config.json` as a configuration; raises WeightsError naming file and field."""
    try:
        return kind.model_validate(read_config(folder))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WeightsError(f"{folder / CONFIG_FILE}: {field}: {first['msg']}") from None


def read_index(folder: Path) -> dict[str, Path] | None:
    """Return the shard of every tensor, None without an index; raises WeightsError."""
    index = folder / INDEX_FILE
    if not index.is_file():
        return None
    try:
        where = json.loads(index.read_bytes())["weight_map"]
        return {name: folder / Path(file).name for name, file in where.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of shards: {error!r}") from None


def identity(folder: Path) -> str:
    """Return a hash of the content of a checkpoint's files; raises WeightsError."""
    shards = read_index(folder)
    files = sorted(set(shards.values())) if shards else [folder / WEIGHTS_FILE]
    digest = hashlib.sha256()
    for path in [folder / CONFIG_FILE, *files]:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    return f"sha256:{digest.hexdigest()}"
