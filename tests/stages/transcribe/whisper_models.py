"""Whisper models for tests, between the formats of `openai-whisper` and CTranslate2."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import LANGUAGES, get_tokenizer

from tests.support import ROOT, audio_folder
from wavemill.stages.transcribe.faster_whisper_weights import CONFIG, TOKENIZER, WEIGHTS

RATE = 16_000
DIGITS = ROOT / "tests" / "data" / "digits-whisper.pt"
HELD_OUT = 5  # the checkpoint was trained on recordings from this index on
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MULTILINGUAL = 51_865
TYPES = {1: np.int8, 2: np.int16, 4: np.float16}  # of CTranslate2's files

torch.set_num_threads(1)  # as in a worker; two threads only wait for each other at this size

State = dict[str, Tensor]


def digits_checkpoint() -> tuple[ModelDimensions, State]:
    """Return the small multilingual model that knows ten English words."""
    stored = torch.load(DIGITS, weights_only=True)
    return ModelDimensions(**stored["dims"]), stored["model_state_dict"]


def random_checkpoint() -> tuple[ModelDimensions, State]:
    """Return a multilingual model of random weights."""
    torch.manual_seed(0)
    dims = ModelDimensions(80, 1500, 16, 2, 1, MULTILINGUAL, 448, 16, 2, 2)
    state = Whisper(dims).state_dict()
    state["decoder.positional_embedding"] = torch.randn(448, 16)  # the package leaves it unset
    return dims, state


def speaking(state: State, language: str) -> State:
    """Return a model that takes everything for `language`, which it takes for English now."""
    tokens = get_tokenizer(True)
    english, other = (tokens.to_language_token(name) for name in ("en", language))
    table = state["decoder.token_embedding.weight"].clone()
    table[[english, other]] = table[[other, english]]
    return {**state, "decoder.token_embedding.weight": table}


def converted(dims: ModelDimensions, state: State, folder: Path) -> Path:
    """Write a multilingual model of the package as CTranslate2 reads it; return its folder."""
    spec = ctranslate2.specs.WhisperSpec(
        dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head
    )
    for name, parts in _names(dims):
        array = np.concatenate([_part(state, part, dims) for part in parts])
        *path, last = name.split("/")
        setattr(functools.reduce(_inner, path, spec), last, array)
    spec.decoder.scale_embeddings = False
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    tokenizer = _tokenizer()
    spec.register_vocabulary([tokenizer.id_to_token(index) for index in range(MULTILINGUAL)])
    tokens = get_tokenizer(True)
    last = range(dims.n_text_layer // 2, dims.n_text_layer)
    spec.config.lang_ids = list(tokens.all_language_tokens)
    spec.config.alignment_heads = [(one, head) for one in last for head in range(dims.n_text_head)]
    spec.config.suppress_ids = list(tokens.non_speech_tokens)
    spec.config.suppress_ids_begin = [*tokens.encode(" "), tokens.eot]
    spec.validate()
    spec.optimize(quantization="float32")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / TOKENIZER))
    assert (folder / CONFIG).is_file()
    return folder


def tiny_en(folder: Path) -> Whisper:
    """Return a model in CTranslate2's format (float16) as the package has it, in float32."""
    dims = ModelDimensions(80, 1500, 384, 6, 4, 51_864, 448, 384, 6, 4)
    arrays = _read((folder / WEIGHTS).read_bytes())
    state: State = {}
    for name, parts in _names(dims):
        for part, array in zip(parts, np.split(arrays[name], len(parts)), strict=True):
            if part:
                state[part] = torch.from_numpy(array.astype(np.float32))
    model = Whisper(dims)
    model.load_state_dict(state)
    return model.eval()


def save(dims: ModelDimensions, state: State, path: Path) -> Path:
    """Write a checkpoint as the package reads it."""
    torch.save({"dims": asdict(dims), "model_state_dict": state}, path)
    return path


def _names(dims: ModelDimensions) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield CTranslate2's name of each array, and the package's names of its parts; "": zeros."""

    def both(theirs: str, *ours: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield f"{theirs}/weight", tuple(f"{one}.weight" for one in ours)
        biased = (f"{one}.bias" if not one.endswith(".key") else "" for one in ours)
        yield f"{theirs}/bias", tuple(biased)

    def norm(theirs: str, ours: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield f"{theirs}/gamma", (f"{ours}.weight",)
        yield f"{theirs}/beta", (f"{ours}.bias",)

    for number in (1, 2):
        yield from both(f"encoder/conv{number}", f"encoder.conv{number}")
    yield "decoder/embeddings/weight", ("decoder.token_embedding.weight",)
    for side, layers, last in (
        ("encoder", dims.n_audio_layer, "ln_post"),
        ("decoder", dims.n_text_layer, "ln"),
    ):
        yield f"{side}/position_encodings/encodings", (f"{side}.positional_embedding",)
        yield from norm(f"{side}/layer_norm", f"{side}.{last}")
        for layer in range(layers):
            theirs, ours = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
            attention = [f"{ours}.attn.{name}" for name in ("query", "key", "value", "out")]
            yield from norm(f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln")
            yield from both(f"{theirs}/self_attention/linear_0", *attention[:3])
            yield from both(f"{theirs}/self_attention/linear_1", attention[3])
            if side == "decoder":
                cross = [f"{ours}.cross_attn.{name}" for name in ("query", "key", "value", "out")]
                yield from norm(f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln")
                yield from both(f"{theirs}/attention/linear_0", cross[0])
                yield from both(f"{theirs}/attention/linear_1", *cross[1:3])
                yield from both(f"{theirs}/attention/linear_2", cross[3])
            yield from norm(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
            yield from both(f"{theirs}/ffn/linear_0", f"{ours}.mlp.0")
            yield from both(f"{theirs}/ffn/linear_1", f"{ours}.mlp.2")


def _part(state: State, name: str, dims: ModelDimensions) -> np.ndarray:
    return state[name].float().numpy() if name else np.zeros(dims.n_text_state, np.float32)


def _inner(spec: Any, name: str) -> Any:
    if name.startswith("layer_") and name[6:].isdigit():
        return spec.layer[int(name[6:])]
    head, _, number = name.rpartition("_")
    if head == "linear" and not hasattr(spec, name):
        return spec.linear[int(number)]
    return getattr(spec, name)


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Read CTranslate2's `model.bin`, version 6."""
    place = 0

    def number(kind: str) -> int:
        nonlocal place
        place += struct.calcsize(kind)
        return int(struct.unpack_from("<" + kind, content, place - struct.calcsize(kind))[0])

    def text() -> str:
        nonlocal place
        length = number("H")
        place += length
        return content[place - length : place - 1].decode()

    assert (number("I"), text()) == (6, "WhisperSpec")
    number("I")  # revision
    found = {}
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        found[name] = np.frombuffer(content[place : place + size], TYPES[kind]).reshape(shape)
        place += size
    return found


@functools.cache
def _tokenizer() -> Any:
    """Return the package's multilingual byte pairs as the package `tokenizers` has them."""
    from transformers.convert_slow_tokenizer import TikTokenConverter

    tokens = get_tokenizer(True).encoding
    file = metadata.distribution("openai-whisper").locate_file(
        "whisper/assets/multilingual.tiktoken"
    )
    special = sorted(tokens._special_tokens, key=tokens._special_tokens.__getitem__)
    made = TikTokenConverter(str(file), extra_special_tokens=special).converted()
    assert made.token_to_id("<|notimestamps|>") == get_tokenizer(True).no_timestamps
    assert len(LANGUAGES) == 100  # of which the last, yue, came with large-v3
    return made


def digit_clips(speaker: str = "*") -> list[tuple[str, np.ndarray]]:
    """Return (word, samples at 16 kHz) of the held-out digits, or skip the test."""
    found = []
    for path in sorted((audio_folder() / "digits").glob(f"*_{speaker}_[0-{HELD_OUT - 1}].wav")):
        samples, rate = soundfile.read(path, dtype="float32")
        word = NAMES[int(path.stem.split("_")[0])]
        found.append((word, soxr.resample(samples, rate, RATE)))
    if not found:
        pytest.skip("no spoken digits beside the real recordings")
    return found


def joined(clips: list[np.ndarray], gap_s: float = 0.2) -> np.ndarray:
    gap = np.zeros(int(gap_s * RATE), np.float32)
    return np.concatenate([part for clip in clips for part in (clip, gap)])
