"""The two configuration files of the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from wavemill.model.bsrnn.checkpoint import write_atomically
from wavemill.model.detokenizer.config import DetokenizerConfig, FlowConfig, VocoderConfig
from wavemill.model.weights import WeightsError

FLOW_FOLDER, VOCODER_FOLDER = "audio_detokenizer", "vocoder"
FLOW_CONFIG, VOCODER_CONFIG = "config.yaml", "config.json"
OUTSIDE_NETWORK = ("normalize_mel", "mel_mean", "mel_std")  # stand beside `model` in the YAML

Config = TypeVar("Config", bound=BaseModel)


def has_detokenizer(folder: Path) -> bool:
    """Whether a model folder has both networks that speak, or means to."""
    return (folder / FLOW_FOLDER).is_dir() and (folder / VOCODER_FOLDER).is_dir()


def read_config(folder: Path) -> DetokenizerConfig:
    """Return the configuration of a model folder; raises WeightsError naming file and field.

    The published files hold settings of training too, so fields not known here are passed over.
    """
    path = folder / FLOW_FOLDER / FLOW_CONFIG
    content = _mapping(path, yaml.safe_load)
    network = content.get("model")
    network = network.get("dit") if isinstance(network, dict) else None
    if not isinstance(network, dict):
        raise WeightsError(f"{path}: no mapping model.dit")
    fields = network | {name: content[name] for name in OUTSIDE_NETWORK if name in content}
    flow = _validated(FlowConfig, fields, path)
    path = folder / VOCODER_FOLDER / VOCODER_CONFIG
    vocoder = _validated(VocoderConfig, _mapping(path, json.loads), path)
    try:
        return DetokenizerConfig(flow=flow, vocoder=vocoder)
    except ValidationError as error:
        raise WeightsError(f"{folder}: {error.errors()[0]['msg']}") from None


def write_config(config: DetokenizerConfig, folder: Path) -> None:
    """Write both files below `folder`, in the published form."""
    network = config.flow.model_dump(mode="json")
    outside = {name: network.pop(name) for name in OUTSIDE_NETWORK}
    text = yaml.safe_dump({"model": {"dit": network}, **outside}, sort_keys=False)
    for name in (FLOW_FOLDER, VOCODER_FOLDER):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FLOW_FOLDER / FLOW_CONFIG, text.encode())
    vocoder = config.vocoder.model_dump_json(indent=2) + "\n"
    write_atomically(folder / VOCODER_FOLDER / VOCODER_CONFIG, vocoder.encode())


def _mapping(path: Path, parse: Any) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise WeightsError(f"{path} cannot be parsed: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: not a mapping")
    return content


def _validated(kind: type[Config], fields: dict[str, Any], path: Path) -> Config:
    known = {name: value for name, value in fields.items() if name in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WeightsError(f"{path}: {field}: {first['msg']}") from None
