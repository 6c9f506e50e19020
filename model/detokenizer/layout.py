"""The published layout of a detokenizer's folder: two configurations, two files of weights.

The flow network stands in `audio_detokenizer/model.pt` under "state_dict", its names behind
`speech_model.` (others there are not read); the vocoder in `vocoder/model.pt` under "generator",
with weight norm. A `model.safetensors` with the same names stands in for either. See
`docs/published-format.md`, "Detokenizer".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import DetokenizerConfig, FlowConfig, VocoderConfig
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.io.folders import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    WeightsError,
    parsed,
    read_mapping,
    write_atomically,
)
from wavemill.model.io.tensors import (
    PICKLE_FILE,
    StoredTensor,
    stored_tensors,
    write_tensors,
)

FLOW_FOLDER, VOCODER_FOLDER = "audio_detokenizer", "vocoder"
FLOW_CONFIG, VOCODER_CONFIG = "config.yaml", CONFIG_FILE
FLOW_PREFIX = "speech_model."
FLOW_ENTRY, VOCODER_ENTRY = "state_dict", "generator"
OUTSIDE_NETWORK = ("normalize_mel", "mel_mean", "mel_std")  # stand beside `model` in the YAML

Container = Literal["safetensors", "pt"]  # the published loader reads "pt" alone


def has_detokenizer(folder: Path) -> bool:
    """Whether a model folder has both networks that speak, or means to."""
    return (folder / FLOW_FOLDER).is_dir() and (folder / VOCODER_FOLDER).is_dir()


def read_config(folder: Path) -> DetokenizerConfig:
    """Return the configuration of a model folder; raises WeightsError naming file and field.

    The published files hold settings of training too, so fields not known here are passed over.
    """
    path = folder / FLOW_FOLDER / FLOW_CONFIG
    content = read_mapping(path)
    network = content.get("model")
    network = network.get("dit") if isinstance(network, dict) else None
    if not isinstance(network, dict):
        raise WeightsError(f"{path}: no mapping model.dit")
    fields = network | {name: content[name] for name in OUTSIDE_NETWORK if name in content}
    flow = parsed(FlowConfig, _known(FlowConfig, fields), path)
    path = folder / VOCODER_FOLDER / VOCODER_CONFIG
    vocoder = parsed(VocoderConfig, _known(VocoderConfig, read_mapping(path)), path)
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


def stored_flow(folder: Path) -> dict[str, StoredTensor]:
    """Return the flow network's tensors of a model folder; raises WeightsError."""
    return stored_tensors(folder / FLOW_FOLDER, prefix=FLOW_PREFIX, pickled=FLOW_ENTRY)


def stored_vocoder(folder: Path) -> dict[str, StoredTensor]:
    """Return the vocoder's tensors, weight norm folded into weights; raises WeightsError."""
    return folded(stored_tensors(folder / VOCODER_FOLDER, pickled=VOCODER_ENTRY))


def write_weights(flow: FlowNetwork, vocoder: BigVgan, folder: Path, container: Container) -> None:
    """Write both networks below `folder`, each file whole or not at all."""
    file = WEIGHTS_FILE if container == "safetensors" else PICKLE_FILE
    named = {FLOW_PREFIX + name: tensor for name, tensor in flow.state_dict().items()}
    parts = ((FLOW_FOLDER, FLOW_ENTRY, named), (VOCODER_FOLDER, VOCODER_ENTRY, normed(vocoder)))
    for name, entry, tensors in parts:
        write_tensors(folder / name / file, tensors, entry if container == "pt" else None)


def folded(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return stored tensors with each pair `weight_g`, `weight_v` as one `weight`.

    The norm is over all dimensions but the first, for transposed convolutions too.
    """
    pairs = {name[:-2] for name in stored if name.endswith(".weight_g")}
    pairs &= {name[:-2] for name in stored if name.endswith(".weight_v")}
    kept = {name: tensor for name, tensor in stored.items() if name[:-2] not in pairs}
    return kept | {name: _joined(stored[f"{name}_g"], stored[f"{name}_v"]) for name in pairs}


def normed(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's tensors with every convolution's weight as `weight_g` and `weight_v`."""
    convolutions = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d)
    }
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if name in convolutions:
            tensors[name + "_g"] = _row_norms(tensor.float()).to(tensor.dtype)
            tensors[name + "_v"] = tensor
        else:
            tensors[name] = tensor
    return tensors


def _joined(length: StoredTensor, direction: StoredTensor) -> StoredTensor:
    def read(device: str) -> Tensor:
        rows = direction.read(device).float()
        return rows * (length.read(device).float() / _row_norms(rows))

    return StoredTensor(direction.file, direction.shape, direction.dtype, read)


def _row_norms(tensor: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(tensor.flatten(1), dim=1)
    return norms.view(-1, *[1] * (tensor.dim() - 1))


def _known(kind: type[FlowConfig | VocoderConfig], fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name in kind.model_fields}
