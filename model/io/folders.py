"""Folders that hold models: where they are and what is in them, without importing torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

C = TypeVar("C", bound=BaseModel)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODEL_FOLDER = "model"  # of a training's folder
INDEX_FILE = "model.safetensors.index.json"
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.yaml", "*.pt")  # what is fetched from a hub


class WeightsError(Exception):
    """A checkpoint cannot be read or does not fit: says which file or tensor."""


def is_hub_id(source: str | Path) -> bool:
    """Tell a hub id ("owner/name") from the path of a folder that is there."""
    named = isinstance(source, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source) is not None
    return named and not Path(source).is_dir()


def resolve(
    source: str | Path, revision: str | None = None, files: Sequence[str] = HUB_FILES
) -> Path:
    """Return the folder of a checkpoint: a local path, or a hub id to fetch `files` of.

    Raises WeightsError when there is neither, and for a training's folder: its model is in it.
    """
    if Path(source).is_dir():
        _not_the_folder_around(Path(source))
        return Path(source)
    if not is_hub_id(source):
        raise WeightsError(f"there is no folder {source}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(files)))
    except Exception as error:  # whatever the hub client raises, the reader needs one line
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"no folder {source}, and not on the hub: {why}") from error


def name_of(folder: Path) -> str:
    """Return what a model is called: its folder's name, or its training's."""
    whole = folder.resolve()
    return whole.parent.name if whole.name == MODEL_FOLDER and whole.parent.name else whole.name


def _not_the_folder_around(folder: Path) -> None:
    inside = folder / MODEL_FOLDER
    if not (folder / CONFIG_FILE).exists() and (inside / CONFIG_FILE).exists():
        raise WeightsError(f"{folder} is the folder of a training; its model is {inside}")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of `config.json`; raises WeightsError."""
    return read_mapping(folder / CONFIG_FILE)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a JSON or YAML file, by its suffix, that is an object at the top.

    Raises WeightsError.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise WeightsError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no object")
    return content


def validated(kind: type[C], folder: Path) -> C:
    """Return `config.json` as a configuration; raises WeightsError naming file and field."""
    return parsed(kind, read_config(folder), folder / CONFIG_FILE)


def parsed(kind: type[C], fields: Mapping[str, Any], path: Path) -> C:
    """Return fields that were read from `path` as a configuration.

    Raises WeightsError naming file and field.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WeightsError(f"{path}: {field}: {first['msg']}") from None


def read_index(folder: Path) -> dict[str, Path] | None:
    """Return the shard of every tensor, None without an index; raises WeightsError."""
    index = folder / INDEX_FILE
    if not index.is_file():
        return None
    try:
        where = json.loads(index.read_bytes())["weight_map"]
        return {name: folder / Path(file).name for name, file in where.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not an index of shards: {error!r}") from None


def files_of(folder: Path) -> list[Path]:
    """Return the files that a checkpoint consists of, there or not; raises WeightsError."""
    shards = read_index(folder)
    weights = sorted(set(shards.values())) if shards else [folder / WEIGHTS_FILE]
    return [folder / CONFIG_FILE, *weights]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half written, also after a crash."""
    unfinished = path.with_name(path.name + ".partial")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
