"""The discrete semantic tokenizer: waveforms in, codes at 12.5 Hz out (report section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavemill.model.audio import WHISPER_HOP, whisper_log_mel
from wavemill.model.io.folders import resolve, validated
from wavemill.model.io.tensors import fill, save
from wavemill.model.tokenizer.config import VqConfig
from wavemill.model.tokenizer.pieces import (
    PIECE_FRAMES,
    PIECE_SAMPLES,
    TOKEN_FRAMES,
    TOKEN_SAMPLES,
    padded,
    pieces_of,
    tokens_in,
)
from wavemill.model.tokenizer.vq_encoder import VqEncoder

FRAMES_AT_ONCE = 16 * PIECE_FRAMES  # log-mel frames of a batch, padding included


class SemanticTokenizer:
    """A Whisper encoder with a codebook inside (GLM-4-Voice layout), in float32.

    In bfloat16, one token in eight changes (docs/published-format.md).
    """

    def __init__(self, network: VqEncoder, frames_at_once: int = FRAMES_AT_ONCE) -> None:
        self.network = network
        self.frames_at_once = frames_at_once

    @property
    def vocab_size(self) -> int:
        return self.network.config.quantize_vocab_size

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray | Tensor]) -> list[np.ndarray]:
        """Return the codes of each waveform, int64 (ceil(samples / 1280),).

        Waveforms are mono float32 (samples,) at 16 kHz in [-1, 1], of any length. Codes of a
        waveform depend on that waveform alone, whatever it is batched with: pieces of 30 s are
        put together by length, and padding is masked.
        """
        device = self.network.codebook.weight.device
        mels: list[tuple[int, Tensor, int]] = []  # waveform, log-mel, tokens
        for index, waveform in enumerate(waveforms):
            pieces = pieces_of(torch.as_tensor(waveform, dtype=torch.float32))
            for piece in pieces:
                mel = piece_mel(piece.to(device), alone=len(pieces) == 1)
                mels.append((index, mel, len(piece)))
        found: dict[int, np.ndarray] = {}
        for batch in self._batches([mel.shape[1] for _, mel, _ in mels]):
            codes = self._codes([mels[i][1] for i in batch], [mels[i][2] for i in batch])
            for i, row in zip(batch, codes.cpu().numpy(), strict=True):
                found[i] = row[: tokens_in(mels[i][2])]
        parts: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in waveforms]
        for i, (index, _, _) in enumerate(mels):
            parts[index].append(found[i])
        return [np.concatenate(codes) for codes in parts]

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "cpu") -> SemanticTokenizer:
        """Read the published directory layout, local or from a hub; raises WeightsError."""
        folder = resolve(source)
        with torch.device("meta"):
            network = VqEncoder(validated(VqConfig, folder))
        fill(network, folder, device, torch.float32)
        return cls(network.eval())

    def save_pretrained(self, folder: Path) -> None:
        """Write what `from_pretrained` reads."""
        save(self.network, self.network.config.published(), folder)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Put pieces of similar length together; yield their numbers."""
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
            if batch and lengths[batch[0]] * (len(batch) + 1) > self.frames_at_once:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _codes(self, mels: list[Tensor], samples: list[int]) -> Tensor:
        frames = max(mel.shape[1] for mel in mels)
        stacked = torch.stack(
            [torch.nn.functional.pad(mel, (0, frames - mel.shape[1])) for mel in mels]
        )
        starts = torch.arange(frames, device=stacked.device) * WHISPER_HOP
        real = starts < torch.tensor(samples, device=stacked.device)[:, None]
        return self.network(stacked, real).codes


def piece_mel(piece: Tensor, alone: bool) -> Tensor:
    """Return the log-mel of a piece, (128, frames), frames a multiple of 8.

    In a longer waveform, silence follows the last piece where a short waveform just ends: one
    token of it is enough to see what the published code sees, which pads it to 30 s.
    """
    samples = tokens_in(len(piece)) * TOKEN_SAMPLES
    if not alone:
        samples = min(samples + TOKEN_SAMPLES, PIECE_SAMPLES)
    mel = whisper_log_mel(padded(piece, samples)[None])[0]
    assert mel.shape[1] % TOKEN_FRAMES == 0
    return mel
