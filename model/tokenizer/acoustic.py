"""The continuous feature extractor: waveforms in, features at 12.5 Hz out (report section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavemill.model import blocks
from wavemill.model.audio import whisper_log_mel
from wavemill.model.io import ctranslate2
from wavemill.model.io.folders import resolve, validated
from wavemill.model.io.tensors import assign, fill, save, stored_tensors
from wavemill.model.llm.packed import Documents, implementation
from wavemill.model.tokenizer.config import EncoderConfig
from wavemill.model.tokenizer.pieces import (
    PIECE_SAMPLES,
    padded,
    pieces_of,
    tokens_in,
)
from wavemill.model.tokenizer.vq_encoder import whisper_config

STACKED = 4  # frames of 20 ms in a row of features
SAMPLES_AT_ONCE = 8 * PIECE_SAMPLES
IGNORED = r"^(model\.)?decoder\.|^proj_out\."  # what else a Whisper checkpoint holds


class AcousticEncoder(nn.Module):
    """A Whisper encoder whose frames of 20 ms are stacked by four: rows of 4 * d_model."""

    def __init__(self, config: EncoderConfig) -> None:
        """Build with random weights; on the meta device, within `torch.device("meta")`."""
        super().__init__()
        self.config = config
        block = whisper_config(config)
        block._attn_implementation = implementation()
        self.encoder = blocks.WhisperEncoder(block)

    @property
    def width(self) -> int:
        """Numbers of a row of features."""
        return STACKED * self.config.d_model

    def forward(self, pieces: Tensor) -> Tensor:
        """Encode float32 (batch, samples): (batch, samples / 1280, width), with gradients.

        Samples are a multiple of 1280 up to 480000, the 30 s that every published piece has. The
        log-mel is taken in float32 and cast to the weights' dtype, which the result has too.
        Silence that fills a piece up is attended to, as in the published code.
        """
        return self.encode(whisper_log_mel(pieces, self.config.num_mel_bins))

    def encode(self, mels: Tensor) -> Tensor:
        """Encode log-mels (batch, bands, frames) as `forward` does; 8 frames give a row."""
        frames = self._through(self._framed(mels))
        return frames.reshape(len(frames), -1, self.width)

    def encode_together(self, groups: Sequence[Tensor]) -> list[Tensor]:
        """Encode groups of equally long log-mels, each (batch, bands, frames), as `encode` does.

        All pieces go through the layers in one row, in which each attends to itself alone: there
        is no padding, and a layer is called once, whatever lengths the pieces have.
        """
        framed = [self._framed(mels) for mels in groups]
        lengths = [one.shape[1] for one in framed for _ in range(len(one))]
        row = torch.cat([one.flatten(0, 1) for one in framed])[None]
        encoded = self._through(row, documents=Documents.of(lengths, row.device))[0]
        parts = torch.split(encoded, [one.shape[0] * one.shape[1] for one in framed])
        return [
            part.reshape(len(one), -1, self.width) for part, one in zip(parts, framed, strict=True)
        ]

    def _framed(self, mels: Tensor) -> Tensor:
        """Return what the first layer is given, (batch, frames / 2, d_model)."""
        encoder = self.encoder
        mel = mels.to(encoder.conv1.weight.dtype)
        # As in WhisperEncoder.forward, which takes nothing but 30 s.
        hidden = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel))))
        hidden = hidden.transpose(1, 2)
        return hidden + encoder.embed_positions.weight[: hidden.shape[1]]

    def _through(self, hidden: Tensor, **given: Any) -> Tensor:
        for layer in self.encoder.layers:
            hidden = layer(hidden, None, **given)
        return self.encoder.layer_norm(hidden)

    def features(self, waveforms: Sequence[np.ndarray | Tensor]) -> list[Tensor]:
        """Return the features of each waveform, (ceil(samples / 1280), width).

        Waveforms are mono float32 (samples,) at 16 kHz in [-1, 1], of any length. Pieces of 30 s
        are encoded one by one, each filled up as `config.fill_to_tokens` says, so that features
        depend on their own waveform alone.
        """
        weight = self.encoder.conv1.weight
        owners: list[int] = []
        pieces: list[Tensor] = []
        for index, waveform in enumerate(waveforms):
            cut = pieces_of(torch.as_tensor(waveform, dtype=torch.float32))
            owners += [index] * len(cut)
            pieces += cut
        encoded: dict[int, Tensor] = {}
        for batch in self._batches([self.config.filled(len(piece)) for piece in pieces]):
            longest = self.config.filled(len(pieces[batch[0]]))
            stacked = torch.stack([padded(pieces[i], longest) for i in batch])
            for i, rows in zip(batch, self(stacked.to(weight.device)), strict=True):
                encoded[i] = rows[: tokens_in(len(pieces[i]))]
        parts: list[list[Tensor]] = [[weight.new_zeros(0, self.width)] for _ in waveforms]
        for i, owner in enumerate(owners):
            parts[owner].append(encoded[i])
        return [torch.cat(rows) for rows in parts]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield the indices of pieces to encode together: equally long, and bounded."""
        order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        for length, same in groupby(order, key=lambda i: lengths[i]):
            members = list(same)
            limit = SAMPLES_AT_ONCE // length
            yield from (members[i : i + limit] for i in range(0, len(members), limit))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> AcousticEncoder:
        """Read a Whisper checkpoint's encoder (`whisper-large-v3/`); raises WeightsError."""
        folder = resolve(source)
        with torch.device("meta"):
            network = cls(validated(EncoderConfig, folder))
        fill(network, folder, device, dtype, IGNORED, prefix_of(folder))
        return network.eval()

    @classmethod
    def from_whisper(
        cls, source: str | Path, dtype: torch.dtype, fill_to_tokens: int | None = None
    ) -> AcousticEncoder:
        """Read the encoder of any Whisper: of `transformers` or, in a folder, of CTranslate2.

        `fill_to_tokens` is as in `EncoderConfig`. Raises WeightsError.
        """
        folder = resolve(source)
        filled = {"fill_to_tokens": fill_to_tokens}
        if not ctranslate2.is_ctranslate2(folder):
            network = cls.from_pretrained(folder, dtype=dtype)
            network.config = network.config.model_copy(update=filled)
            return network
        config = EncoderConfig.model_validate(ctranslate2.encoder_config(folder) | filled)
        with torch.device("meta"):
            network = cls(config)
        assign(network.encoder, ctranslate2.encoder_tensors(folder), folder, dtype=dtype)
        return network.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write what `from_pretrained` reads: the encoder without Whisper's decoder."""
        save(self, self.config.published(), folder)


def prefix_of(folder: Path) -> str:
    """Return what stands before the encoder's names: checkpoints with a language head have it."""
    return "model." if any(name.startswith("model.") for name in stored_tensors(folder)) else ""
