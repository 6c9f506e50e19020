"""Floating-point operations of the speech networks, forward and backward, for one clip.

Multiplications of matrices and convolutions, as `torch.utils.flop_counter` counts them; a
multiplication with its addition is two. What is computed twice to save memory counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from wavemill.model.audio import WHISPER_BANDS, WHISPER_WINDOW
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import FlowConfig, VocoderConfig
from wavemill.model.detokenizer.flow import TIME_FEATURES
from wavemill.model.tokenizer.config import VqConfig
from wavemill.model.tokenizer.pieces import TOKEN_FRAMES
from wavemill.model.train.speech.discriminators import Discriminators, DiscriminatorSettings
from wavemill.model.train.speech.text_decoder import IDS, TextDecoderConfig

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)


def tokenizer_flops(
    encoder: VqConfig, decoder: TextDecoderConfig, tokens: int, letters: int
) -> float:
    """Return those of the encoder over `tokens`, and of the decoder over `letters` positions."""
    width, frames = encoder.d_model, tokens * TOKEN_FRAMES
    halved = frames // 2
    pooled = -(-halved // encoder.pooling_kernel_size)
    trained = 3.0 * width * width * halved
    for layer in range(encoder.layers):
        places = halved if layer < encoder.pooling_position else pooled
        weights = 4 * width * width + 2 * width * encoder.encoder_ffn_dim
        trained += places * weights + _attention(width, places, places)
    weights = 6 * width * width + 2 * width * decoder.ffn_dim
    trained += decoder.layers * (
        letters * weights
        + pooled * 2 * width * width  # keys and values of the states
        + _attention(width, letters, letters + pooled)
    )
    trained += letters * width * IDS
    first = 3 * WHISPER_BANDS * width * frames
    looked_up = pooled * width * encoder.quantize_vocab_size
    return _flops(trained, first, looked_up + frames * WHISPER_BANDS * (WHISPER_WINDOW // 2 + 1))


def flow_flops(flow: FlowConfig, vocoder: VocoderConfig, frames: int, chunked: bool) -> float:
    """Return those of one step over mel frames; in chunks, the clean ones are read before."""
    width = flow.hidden_size
    square = width * width
    mixed = square + 2 * width * int(width * flow.mlp_ratio)  # weights behind the attention
    entry = frames * flow.input_size * width + TIME_FEATURES * width
    ending = frames * (flow.input_size * width + 2 * square)

    def blocks(keys: int) -> float:
        return flow.depth * (frames * (9 * square + mixed) + _attention(width, frames, keys))

    mel = _mel(vocoder, frames)
    if not chunked:
        return _flops(blocks(frames) + ending + square, entry, mel)
    # Of the clean frames only keys and values are used: nothing flows back from behind the last.
    unused = frames * mixed + _attention(width, frames, frames)
    trained = blocks(frames) - unused + blocks(2 * frames) + ending + 2 * square
    return _flops(trained, 2 * entry, unused + ending + mel)


def vocoder_flops(
    config: VocoderConfig, settings: DiscriminatorSettings, samples: int, adversarial: bool
) -> float:
    """Return those of both optimizers; if not `adversarial`, of the vocoder's mel loss alone."""
    frames = samples // config.hop_size
    mel = 2.0 * _mel(config, frames)
    vocoder, first, filters = _vocoder(config, frames)
    # Filters have no weights to train; the vocoder's mel has a gradient, that of the speech none.
    generator = 3 * vocoder - first + 2 * filters + 3 * mel
    if not adversarial:
        return generator
    scores, entry, _ = _discriminators(settings, samples)
    generator += scores + 2 * scores  # of real audio; of the vocoder's, back to it
    discriminator = mel + vocoder + filters + 2 * (3 * scores - entry)
    return generator + discriminator


Forward = tuple[float, float, float]  # all convolutions, the first of each network, and the rest


@lru_cache(maxsize=512)
def _vocoder(config: VocoderConfig, frames: int) -> Forward:
    with torch.device("meta"):  # shapes alone, and nothing is computed
        network = BigVgan(config)
        return _forward(network, [network], (frames, config.num_mels))


@lru_cache(maxsize=512)
def _discriminators(settings: DiscriminatorSettings, samples: int) -> Forward:
    with FakeTensorMode():  # likewise, where autocast does not know the meta device
        network = Discriminators(settings)
        return _forward(network, network.parts, (samples,))


def _forward(network: nn.Module, parts: Iterable[nn.Module], shape: tuple[int, ...]) -> Forward:
    """Return the forward operations of one item of a shape."""
    counts: dict[nn.Module, float] = {}

    def count(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        assert isinstance(layer, CONVOLUTIONS)
        places = given[0] if isinstance(layer, nn.ConvTranspose1d) else made
        counts[layer] = 2.0 * layer.weight.numel() * places[0, 0].numel()

    for layer in _convolutions(network):
        layer.register_forward_hook(count)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    firsts = sum(counts[next(_convolutions(part))] for part in parts)
    convolved = sum(counts.values())
    return convolved, firsts, counter.get_total_flops() - convolved


def _convolutions(network: nn.Module) -> Iterator[nn.Module]:
    return (layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS))


def _flops(trained: float, first: float, forward: float) -> float:
    """Return those of multiplications with gradients for both factors, for one, and for none."""
    return 2.0 * (3 * trained + 2 * first + forward)


def _attention(width: int, queries: int, keys: int) -> float:
    return 2.0 * width * queries * keys


def _mel(config: VocoderConfig, frames: int) -> float:
    return float(frames * config.num_mels * (config.n_fft // 2 + 1))
