"""Whisper models in CTranslate2's format: their tensors, read as data.

A `model.bin` is a list of named tensors behind a short header (little endian): the format's
version, the name of the kind of model and its revision, then for each tensor its name, shape,
dtype and bytes, as `ctranslate2.specs.ModelSpec` writes them. `config.json` says the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from wavemill.model.io.folders import WeightsError
from wavemill.model.io.tensors import StoredTensor, dtype_name

MODEL_FILE = "model.bin"
VERSION = 6  # of the format, which CTranslate2 has written since 2.0
KIND = "WhisperSpec"
# By the numbers that stand in the file; quantized models have others, and scales beside them.
DTYPES = {0: torch.float32, 4: torch.float16, 5: torch.bfloat16}
LAYER = "encoder/layer_{0}/"
# Names of a layer's tensors in the checkpoints of `transformers`, which has query, key and value
# apart, and in this format.
LAYER_NAMES = {
    "self_attn.out_proj": "self_attention/linear_1",
    "self_attn_layer_norm": "self_attention/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
    "final_layer_norm": "ffn/layer_norm",
}
PROJECTIONS = ("q_proj", "k_proj", "v_proj")  # of self_attention/linear_0, one below the other
NORM = {"weight": "gamma", "bias": "beta"}
LINEAR = {"weight": "weight", "bias": "bias"}


def is_ctranslate2(folder: Path) -> bool:
    """Whether a folder holds a model in this format."""
    return (folder / MODEL_FILE).is_file()


def encoder_config(folder: Path) -> dict[str, Any]:
    """Return a Whisper encoder's sizes as the fields of a published `config.json`.

    Raises WeightsError.
    """
    stored = _stored(folder)
    bands = _shape(stored, "encoder/conv1/weight", folder)[1]
    frames, width = _shape(stored, "encoder/position_encodings/encodings", folder)
    layers = sum(name.endswith("/ffn/linear_0/bias") for name in stored if _in_encoder(name))
    return {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": width // 64,  # of every Whisper
        "encoder_ffn_dim": _shape(stored, LAYER.format(0) + "ffn/linear_0/bias", folder)[0],
        "max_source_positions": frames,
        "num_mel_bins": bands,
    }


def encoder_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return a Whisper encoder's tensors by the names that `transformers` gives them.

    Without `encoder.` before them. Headers alone are read. Raises WeightsError, also for a
    quantized model.
    """
    stored = _stored(folder)
    found = {f"{conv}.{leaf}": f"encoder/{conv}/{leaf}" for conv in ("conv1", "conv2")
             for leaf in LINEAR}  # fmt: skip
    found |= {f"layer_norm.{leaf}": f"encoder/layer_norm/{name}" for leaf, name in NORM.items()}
    found["embed_positions.weight"] = "encoder/position_encodings/encodings"
    layers = encoder_config(folder)["encoder_layers"]
    for layer in range(layers):
        there = LAYER.format(layer)
        for ours, theirs in LAYER_NAMES.items():
            leaves = NORM if theirs.endswith("layer_norm") else LINEAR
            for leaf, name in leaves.items():
                found[f"layers.{layer}.{ours}.{leaf}"] = f"{there}{theirs}/{name}"
    tensors = {ours: _tensor(stored, theirs, folder) for ours, theirs in found.items()}
    for layer in range(layers):
        for leaf in LINEAR:
            whole = _tensor(stored, f"{LAYER.format(layer)}self_attention/linear_0/{leaf}", folder)
            for part, name in enumerate(PROJECTIONS):
                if (name, leaf) != ("k_proj", "bias"):  # which Whisper lacks: zeros here
                    rows = whole.shape[0] // len(PROJECTIONS)
                    tensors[f"layers.{layer}.self_attn.{name}.{leaf}"] = StoredTensor(
                        whole.file,
                        (rows, *whole.shape[1:]),
                        whole.dtype,
                        partial(_part, whole, part * rows, rows),
                    )
    return tensors


def _part(whole: StoredTensor, start: int, rows: int, device: str) -> Tensor:
    return whole.read(device)[start : start + rows]


def _in_encoder(name: str) -> bool:
    return name.startswith("encoder/")


def _tensor(stored: dict[str, StoredTensor], name: str, folder: Path) -> StoredTensor:
    if name not in stored:
        raise WeightsError(f"{folder / MODEL_FILE}: tensor {name} is missing")
    tensor = stored[name]
    if tensor.dtype not in {dtype_name(torch.empty(0, dtype=one)) for one in DTYPES.values()}:
        raise WeightsError(
            f"{folder / MODEL_FILE} is quantized ({tensor.dtype} in {name}); remedy: a model in "
            "float16 or float32 (ct2-transformers-converter --quantization float16)"
        )
    return tensor


def _shape(stored: dict[str, StoredTensor], name: str, folder: Path) -> tuple[int, ...]:
    return _tensor(stored, name, folder).shape


def _stored(folder: Path) -> dict[str, StoredTensor]:
    """Return all tensors by their names in the file. Raises WeightsError."""
    path = folder / MODEL_FILE
    try:
        with path.open("rb") as file:
            return dict(_headers(file, path))
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not a model of CTranslate2: {error}") from None


def _headers(file: BinaryIO, path: Path) -> Iterator[tuple[str, StoredTensor]]:
    version, kind = _numbers(file, "<I")[0], ""
    if version == VERSION:
        kind = _text(file)
    if kind != KIND:
        raise WeightsError(
            f"{path} is not a Whisper model in CTranslate2's format, version {VERSION}"
        )
    _, count = _numbers(file, "<II")  # the revision of the kind says nothing of the encoder
    end = path.stat().st_size
    for _ in range(count):
        name, dimensions = _text(file), _numbers(file, "<B")[0]
        shape = _numbers(file, f"<{dimensions}I")
        code, size = _numbers(file, "<BI")
        start = file.seek(0, 1)
        if start + size > end:
            raise WeightsError(f"{path} ends within tensor {name}: it was not written whole")
        dtype = DTYPES.get(code)
        shown = f"type {code}" if dtype is None else dtype_name(torch.empty(0, dtype=dtype))
        read = partial(_read, path, start, shape, dtype)
        yield name, StoredTensor(path, shape, shown, read)
        file.seek(size, 1)


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _text(file: BinaryIO) -> str:
    (length,) = _numbers(file, "<H")
    return file.read(length).rstrip(b"\0").decode()


def _read(
    path: Path, start: int, shape: tuple[int, ...], dtype: torch.dtype | None, device: str
) -> Tensor:
    if dtype is None:
        raise WeightsError(f"{path} is quantized")
    size = int(np.prod(shape)) * dtype.itemsize
    data = np.fromfile(path, np.uint8, size, offset=start)
    return torch.from_numpy(data).view(dtype).reshape(shape).to(device)
