"""How much memory a training step needs, from the sizes of the networks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import SCORED_AT_ONCE, AudioLlm
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, presets
from wavemill.model.train.lora import matrices
from wavemill.model.train.recipe import LoraSettings

Way = Literal["float32", "bfloat16", "lora"]
WAYS: tuple[Way, ...] = ("float32", "bfloat16", "lora")
CARDS = {"24 GB": 24e9, "48 GB": 48e9, "80 GB": 80e9, "141 GB": 141e9}
USABLE = 0.92  # of a card: the rest is for CUDA itself, libraries and fragments
# Bytes of a weight that is learnt: itself, its gradient, its two moments.
LEARNT = {"float32": 4 + 4 + 8, "bfloat16": 2 + 2 + 4}
HALF = 2  # bytes of a number in bfloat16


@dataclass(frozen=True)
class Need:
    """Bytes on one card."""

    state: float  # weights, gradients, moments, of all workers together
    gathered: float  # the largest group of weights that is gathered at once
    activations: float

    def on(self, cards: int) -> float:
        """Return bytes on each of so many cards, among which the state is divided."""
        return self.state / cards + self.activations + (self.gathered if cards > 1 else 0.0)

    def fits(self, card: float, cards: int = 1) -> bool:
        return self.on(cards) <= USABLE * card


def need(name: str, way: Way, positions: int, lora: LoraSettings | None = None) -> Need:
    """Return what a step of the preset `name` needs, with `loop.recompute`.

    `positions` are those of a micro-batch, of which sound may fill all. Raises ValueError for an
    unknown preset.
    """
    llm, encoder = preset(name), presets(name)[1]
    with torch.device("meta"):
        network, acoustic = AudioLlm(llm), AcousticEncoder(encoder)
    count = _count(network) + _count(acoustic)
    if way == "lora":
        rank = (lora or LoraSettings()).rank
        adapters = sum(rank * (one.in_features + one.out_features) for one in matrices(network))
        state = HALF * count + LEARNT["float32"] * adapters
    else:
        state = LEARNT[way] * count
    gathered = HALF * 2 * max(network.lm_head.weight.numel(), _count(network.model.layers[0]))
    sound = 0.0 if way == "lora" else _of_encoder(encoder, positions)
    return Need(float(state), float(gathered), _of_llm(llm, positions) + sound)


def _of_llm(config: LlmConfig, positions: int) -> float:
    """Return bytes: the input of each layer, the inside of one, and the scores of one part."""
    layers = config.num_hidden_layers + config.audio_layers
    inside = 6 * config.hidden_size + 4 * config.intermediate_size
    scores = SCORED_AT_ONCE * config.vocab_size * (HALF + 4 + 4)
    return positions * HALF * (layers * config.hidden_size + 2 * inside) + scores


def _of_encoder(config: EncoderConfig, positions: int) -> float:
    frames = 4 * positions  # 50 a second; a position is 80 ms
    inside = 6 * config.d_model + 4 * config.encoder_ffn_dim
    return frames * HALF * (config.encoder_layers * config.d_model + 2 * inside)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
