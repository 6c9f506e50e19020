"""What a model folder holds, from configurations and headers: no network is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from wavemill.model.assistant import ACOUSTIC_FOLDER, SEMANTIC_FOLDER, SEMANTIC_SOURCE
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.detokenizer.layout import (
    FLOW_FOLDER,
    VOCODER_FOLDER,
    read_config,
    stored_flow,
    stored_vocoder,
)
from wavemill.model.io.folders import CONFIG_FILE, WeightsError, validated
from wavemill.model.io.tensors import StoredTensor, problems, stored_tensors
from wavemill.model.llm import network as llm
from wavemill.model.llm.config import LlmConfig
from wavemill.model.prompt.text import load_text_tokenizer
from wavemill.model.tokenizer import acoustic, kmeans
from wavemill.model.tokenizer.config import EncoderConfig, VqConfig
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder

TEXT_ONLY = "without it, replies are text"


@dataclass(frozen=True)
class Part:
    """One network of a model folder, or its text tokenizer."""

    name: str
    folder: Path
    parameters: int  # that are stored
    dtypes: tuple[str, ...]  # as safetensors calls them
    problems: tuple[str, ...]  # why it cannot be loaded; none: it can
    absent: str = ""  # it is not there, and need not be: what follows from that


def inspect(folder: Path) -> list[Part]:
    """Return the parts that a model folder holds or should hold.

    A model that was just trained has only what it learnt: an LLM replies in text without a
    detokenizer, and a detokenizer needs no LLM. Raises WeightsError where there is no part at all.
    """
    has_llm = (folder / CONFIG_FILE).is_file()
    semantic, listening = folder / SEMANTIC_FOLDER, folder / ACOUSTIC_FOLDER

    def flow() -> tuple[nn.Module, dict[str, StoredTensor]]:
        return FlowNetwork(read_config(folder).flow), stored_flow(folder)

    def vocoder() -> tuple[nn.Module, dict[str, StoredTensor]]:
        return BigVgan(read_config(folder).vocoder), stored_vocoder(folder)

    def listen() -> tuple[nn.Module, dict[str, StoredTensor]]:
        network = acoustic.AcousticEncoder(validated(EncoderConfig, listening))
        return network, stored_tensors(listening, acoustic.IGNORED, acoustic.prefix_of(listening))

    parts = [
        _part(
            "audio LLM",
            folder,
            lambda: (
                llm.AudioLlm(validated(LlmConfig, folder)),
                stored_tensors(folder, llm.IGNORED),
            ),
        )
        if has_llm
        else _absent("audio LLM", folder, "without it, the folder holds no model that replies"),
        _kmeans(folder / kmeans.FOLDER)
        if (folder / kmeans.FOLDER).is_dir()
        else _part(
            "semantic tokenizer",
            semantic,
            lambda: (VqEncoder(validated(VqConfig, semantic)), stored_tensors(semantic)),
            f"it comes from {SEMANTIC_SOURCE}, or from --semantic",
        ),
        _part("acoustic encoder", listening, listen, "" if has_llm else "only an LLM listens"),
        _part("detokenizer", folder / FLOW_FOLDER, flow, TEXT_ONLY),
        _part("vocoder", folder / VOCODER_FOLDER, vocoder, TEXT_ONLY),
        _text_tokenizer(folder)
        if has_llm
        else _absent("text tokenizer", folder, "only an LLM reads"),
    ]
    if all(part.absent for part in parts):
        raise WeightsError(f"{folder} holds no part of a model")
    return parts


def _kmeans(folder: Path) -> Part:
    """Look into the codebook of a model that was trained on k-means tokens."""
    try:
        size = int(KMeansTokenizer.from_pretrained(folder).codebook.centroids.size)
    except WeightsError as error:
        return Part("semantic tokenizer", folder, 0, (), (str(error),))
    return Part("semantic tokenizer", folder, size, ("F16",), ())


def _text_tokenizer(folder: Path) -> Part:
    try:
        load_text_tokenizer(folder, validated(LlmConfig, folder).text_vocab)
    except WeightsError as error:
        return Part("text tokenizer", folder, 0, (), (str(error),))
    return Part("text tokenizer", folder, 0, (), ())


def _absent(name: str, folder: Path, meaning: str) -> Part:
    return Part(name, folder, 0, (), (), meaning)


def _part(
    name: str,
    folder: Path,
    read: Callable[[], tuple[nn.Module, dict[str, StoredTensor]]],
    absent: str = "",
) -> Part:
    """Hold what `read` finds against the network that it builds, on the meta device.

    `absent` says what a missing folder means; empty: it is a problem.
    """
    if not folder.is_dir():
        if absent:
            return _absent(name, folder, absent)
        return Part(name, folder, 0, (), ("there is no such folder",))
    try:
        with torch.device("meta"):
            network, stored = read()
    except WeightsError as error:
        return Part(name, folder, 0, (), (str(error),))
    return Part(
        name,
        folder,
        sum(prod(tensor.shape) for tensor in stored.values()),
        tuple(sorted({tensor.dtype for tensor in stored.values()})),
        tuple(problems(network, stored)),
    )
