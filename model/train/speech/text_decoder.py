"""The speech recogniser that a codebook is learnt under; no part of what is exported.

A small Transformer decoder over the bytes of a transcript, which looks at the quantised states, as
Whisper's decoder does in glm-4-voice-tokenizer's training. Not CTC: at 12.5 states a second there
are fewer states than characters, and a decoder that knows what it has written leaves the codes to
say what was spoken. Bytes need no text tokenizer and 259 rows instead of tens of thousands.
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
    """Transcripts as bytes, int64 (batch, bytes + 1): what the decoder gets, and what it is to say.

    `wanted` has PADDING behind its END, which does not count.
    """

    given: Tensor
    wanted: Tensor

    @property
    def counted(self) -> int:
        """Positions that count."""
        return int((self.wanted != PADDING).sum())


def spelled(texts: Sequence[str], most_bytes: int, device: torch.device | str = "cpu") -> Spelled:
    """Return transcripts for the decoder, padded to the longest.

    Of a clip without a transcript nothing is wanted: it does not say that nothing was said.
    """
    rows = [list(text.encode()[:most_bytes]) for text in texts]
    longest = max(map(len, rows)) + 1
    wanted = torch.full((len(rows), longest), PADDING)
    for row, spelling in zip(wanted, rows, strict=True):
        if spelling:
            row[: len(spelling) + 1] = torch.tensor([*spelling, END])
    given = torch.cat((torch.full((len(rows), 1), BEGIN), wanted[:, :-1]), 1)
    return Spelled(given.to(device), wanted.to(device))


class TextDecoder(nn.Module):
    """Bytes so far and states to logits of the next byte."""

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

    def forward(self, given: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Return logits (batch, bytes, IDS).

        `given` int64 (batch, bytes), `states` (batch, tokens, width), `real` bool (batch, tokens).
        """
        length = given.shape[1]
        hidden = self.bytes(given) + self.positions.weight[:length]
        ahead = torch.ones(length, length, dtype=torch.bool, device=given.device).triu(1)
        hidden = self.decoder(
            hidden, self.memory_norm(states), tgt_mask=ahead, memory_key_padding_mask=~real
        )
        return hidden @ self.bytes.weight.T

    @torch.no_grad()
    def write(self, states: Tensor, real: Tensor, most_bytes: int | None = None) -> list[str]:
        """Return what the best byte at every step spells, for each item."""
        given = torch.full((len(states), 1), BEGIN, device=states.device)
        ended = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        for _ in range(min(most_bytes or self.config.most_bytes, self.config.most_bytes)):
            best = self(given, states, real)[:, -1, : END + 1].argmax(-1)
            ended |= best == END
            given = torch.cat((given, torch.where(ended, END, best)[:, None]), 1)
            if bool(ended.all()):
                break
        rows = given[:, 1:].tolist()
        return [bytes(i for i in row if i < BEGIN).decode(errors="replace") for row in rows]
