"""The continuous feature extractor: waveforms in, features at 12.5 Hz out (report section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.blocks import WhisperEncoder
from model.checkpoint import resolve, validated
from model.tokenizer.config import EncoderConfig
from model.tokenizer.log_mel import PIECE_SAMPLES, log_mel, padded, pieces_of, tokens_in
from model.tokenizer.vq_encoder import whisper_config
from model.weights import fill, save, stored_tensors

STACKED = 4  # frames of 20 ms in a row of features
PIECES_AT_ONCE = 8  # each is 30 s
IGNORED = r"^(model\.)?decoder\.|^proj_out\."  # what else a Whisper checkpoint holds


class AcousticEncoder(nn.Module):
    """A Whisper encoder whose frames of 20 ms are stacked by four: rows of 4 * d_model."""

    def __init__(self, config: EncoderConfig) -> None:
        """Build with random weights; on the meta device, within `torch.device("meta")`."""
        super().__init__()
        self.config = config
        self.encoder = WhisperEncoder(whisper_config(config))

    @property
    def width(self) -> int:
        """Numbers of a row of features."""
        return STACKED * self.config.d_model

    def forward(self, pieces: Tensor) -> Tensor:
        """Encode float32 (batch, 480000), pieces of 30 s: (batch, 375, width), with gradients.

        The log-mel is taken in float32 and cast to the weights' dtype, which the result has too.
        Silence that fills a piece up is attended to, as in the published code.
        """
        mel = log_mel(pieces).to(self.encoder.conv1.weight.dtype)
        frames = self.encoder(mel).last_hidden_state
        return frames.reshape(len(frames), -1, self.width)

    def features(self, waveforms: Sequence[np.ndarray | Tensor]) -> list[Tensor]:
        """Return the features of each waveform, (ceil(samples / 1280), width).

        Waveforms are mono float32 (samples,) at 16 kHz in [-1, 1], of any length; pieces of 30 s
        are encoded one by one, so that features depend on their own waveform alone.
        """
        weight = self.encoder.conv1.weight
        owners: list[int] = []
        pieces: list[Tensor] = []
        for index, waveform in enumerate(waveforms):
            cut = pieces_of(torch.as_tensor(waveform, dtype=torch.float32))
            owners += [index] * len(cut)
            pieces += cut
        parts: list[list[Tensor]] = [[weight.new_zeros(0, self.width)] for _ in waveforms]
        for start in range(0, len(pieces), PIECES_AT_ONCE):
            batch = pieces[start : start + PIECES_AT_ONCE]
            stacked = torch.stack([padded(piece, PIECE_SAMPLES) for piece in batch])
            for offset, rows in enumerate(self(stacked.to(weight.device))):
                parts[owners[start + offset]].append(rows[: tokens_in(len(batch[offset]))])
        return [torch.cat(rows) for rows in parts]

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

    def save_pretrained(self, folder: Path) -> None:
        """Write what `from_pretrained` reads; there is no decoder in it."""
        save(self, self.config.published(), folder)


def prefix_of(folder: Path) -> str:
    """Return what stands before the encoder's names: checkpoints with a language head have it."""
    return "model." if any(name.startswith("model.") for name in stored_tensors(folder)) else ""
