"""The text decoder that trains a codebook by speech recognition; it is not exported.

A small Transformer decoder over the bytes of a transcript, which looks at the quantised states, as
Whisper's decoder does in glm-4-voice-tokenizer's training. Not CTC: at 12.5 states a second there
are fewer states than characters. Bytes need no text tokenizer, and 259 rows instead of tens of
thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

BEGIN, END, PADDING = 256, 257, 258
IDS = 259


class TextDecoderConfig(BaseModel):
    """Its size; it is as wide as the encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    ffn_dim: int = Field(256, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    most_bytes: int = Field(1024, ge=1)  # longer transcripts are cut


@dataclass(frozen=True)
class Spelled:
    """Transcripts as bytes, int64 (batch, bytes + 1): the decoder's input and its targets.

    Targets have PADDING behind END, which is not trained on.
    """

    inputs: Tensor
    targets: Tensor

    @property
    def loss_positions(self) -> int:
        """Positions that are trained on."""
        return int((self.targets != PADDING).sum())


def spelled(texts: Sequence[str], most_bytes: int, device: torch.device | str = "cpu") -> Spelled:
    """Return transcripts for the decoder, padded to the longest.

    A clip without a transcript has PADDING alone: it does not mean that nothing was said.
    """
    rows = [list(text.encode()[:most_bytes]) for text in texts]
    longest = max(map(len, rows)) + 1
    targets = torch.full((len(rows), longest), PADDING)
    for row, spelling in zip(targets, rows, strict=True):
        if spelling:
            row[: len(spelling) + 1] = torch.tensor([*spelling, END])
    inputs = torch.cat((torch.full((len(rows), 1), BEGIN), targets[:, :-1]), 1)
    return Spelled(inputs.to(device), targets.to(device))


class TextDecoder(nn.Module):
    """Gives logits of the next byte, from the bytes before it and the states."""

    def __init__(self, config: TextDecoderConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.bytes = nn.Embedding(IDS, width)
        self.positions = nn.Embedding(config.most_bytes + 1, width)
        nn.init.normal_(self.bytes.weight, std=width**-0.5)
        nn.init.normal_(self.positions.weight, std=width**-0.5)
        layer = nn.TransformerDecoderLayer(
            width,
            config.heads,
            config.ffn_dim,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.memory_norm = nn.LayerNorm(width)
        self.decoder = nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(width))

    def forward(self, inputs: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Return logits (batch, bytes, IDS).

        `inputs` int64 (batch, bytes), `states` (batch, tokens, width), `real` bool (batch, tokens).
        """
        length = inputs.shape[1]
        hidden = self.bytes(inputs) + self.positions.weight[:length]
        ahead = torch.ones(length, length, dtype=torch.bool, device=inputs.device).triu(1)
        hidden = self.decoder(
            hidden, self.memory_norm(states), tgt_mask=ahead, memory_key_padding_mask=~real
        )
        return hidden @ self.bytes.weight.T

    @torch.no_grad()
    def write(self, states: Tensor, real: Tensor, most_bytes: int | None = None) -> list[str]:
        """Return the greedy transcript of each item."""
        written = torch.full((len(states), 1), BEGIN, device=states.device)
        ended = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        for _ in range(min(most_bytes or self.config.most_bytes, self.config.most_bytes)):
            best = self(written, states, real)[:, -1, : END + 1].argmax(-1)
            ended |= best == END
            written = torch.cat((written, torch.where(ended, END, best)[:, None]), 1)
            if bool(ended.all()):
                break
        rows = written[:, 1:].tolist()
        return [bytes(i for i in row if i < BEGIN).decode(errors="replace") for row in rows]
