"""The stored cases of the published detokenizer and networks with their weights."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tests.model import conformance
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import FlowConfig, VocoderConfig
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.detokenizer.layout import folded
from wavemill.model.io.tensors import StoredTensor, assign, dtype_name

FOLDER = conformance.FOLDER / "detokenizer"
TOLERANCE = 2e-4  # of velocities, keys, values and mel
AUDIO_TOLERANCE = 1e-5  # of waveforms and extracted log-mel

needs_fixtures = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no conformance fixtures in {FOLDER}; set WAVEMILL_CONFORMANCE"
)


@lru_cache
def tensors(name: str) -> dict[str, Tensor]:
    """Return the tensors of `<name>.safetensors`."""
    return load_file(FOLDER / f"{name}.safetensors")


@lru_cache
def notes(name: str) -> Any:
    """Return the content of `<name>.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def header(name: str) -> dict[str, Any]:
    """Return the notes in the header of `<name>.safetensors`, each parsed where it is JSON."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        return {key: _parsed(value) for key, value in (file.metadata() or {}).items()}


def below(name: str, prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in tensors(name).items()
        if key.startswith(prefix)
    }


def as_stored(content: dict[str, Tensor]) -> dict[str, StoredTensor]:
    """Return tensors as if they had been opened from a file."""
    return {
        name: StoredTensor(FOLDER, tuple(tensor.shape), dtype_name(tensor), tensor.to)
        for name, tensor in content.items()
    }


@lru_cache
def flow_config() -> FlowConfig:
    content = yaml.safe_load((FOLDER / "dit" / "config.yaml").read_text(encoding="utf-8"))
    outside = {name: content[name] for name in ("normalize_mel", "mel_mean", "mel_std")}
    return FlowConfig(**content["model"]["dit"], **outside)


def flow_with(config: FlowConfig, weights: dict[str, Tensor]) -> FlowNetwork:
    network = FlowNetwork(config)
    assign(network, as_stored(weights), FOLDER)
    return network.eval().requires_grad_(False)


@lru_cache
def flow() -> FlowNetwork:
    return flow_with(flow_config(), tensors("dit/model"))


@lru_cache
def vocoder_config() -> VocoderConfig:
    return VocoderConfig(**notes("bigvgan/config"))


def vocoder_with(config: VocoderConfig, weights: dict[str, Tensor]) -> BigVgan:
    network = BigVgan(config)
    assign(network, folded(as_stored(weights)), FOLDER, dtype=weights["conv_pre.bias"].dtype)
    return network.eval().requires_grad_(False)


@lru_cache
def vocoder() -> BigVgan:
    return vocoder_with(vocoder_config(), tensors("bigvgan/model"))


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
