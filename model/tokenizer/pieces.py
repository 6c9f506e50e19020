"""How a waveform is cut for a Whisper encoder, and how many tokens its pieces have.

As published: `docs/published-format.md`, "Semantic tokenizer" and "Acoustic features".
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavemill.model.audio import WHISPER_HOP, WHISPER_RATE

SAMPLE_RATE = WHISPER_RATE  # Hz
TOKEN_SAMPLES = 1280  # 80 ms: 12.5 tokens a second
TOKEN_FRAMES = TOKEN_SAMPLES // WHISPER_HOP  # 8
PIECE_SAMPLES = 30 * SAMPLE_RATE  # what the encoders take at once
PIECE_FRAMES = PIECE_SAMPLES // WHISPER_HOP  # 3000


def tokens_in(samples: int) -> int:
    """Return how many tokens and how many rows of features `samples` give: ceil(samples / 1280)."""
    return -(-samples // TOKEN_SAMPLES)


def pieces_of(waveform: Tensor) -> list[Tensor]:
    """Cut a waveform (samples,) at 0, 30, 60 ... s; the last piece keeps its length."""
    return list(torch.split(waveform, PIECE_SAMPLES)) if len(waveform) else []


def padded(piece: Tensor, samples: int) -> Tensor:
    """Fill a piece (samples,) up with silence."""
    return torch.nn.functional.pad(piece, (0, samples - len(piece)))
