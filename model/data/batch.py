"""Documents packed into one row, as tensors."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.data.document import Document
from model.data.sound import Augment, piece_mels, waveform_of


@dataclass(frozen=True)
class PackedBatch:
    """One row of documents, one after another, none of which sees another.

    Tensors over positions are (positions,); ids and labels int64, marks bool.
    """

    ids: tuple[str, ...]  # of the documents
    tasks: tuple[str, ...]  # of the documents
    lengths: tuple[int, ...]  # of the documents, in positions
    audio_ids: Tensor
    text_ids: Tensor
    audio_labels: Tensor
    text_labels: Tensor
    audio_counts: Tensor
    text_counts: Tensor
    continuous: Tensor
    position_ids: Tensor  # int64, from 0 in each document
    mels: Tensor | None  # float32 (pieces, 128, frames): the sounds, piece by piece
    mel_tokens: tuple[int, ...] = ()  # rows of features that each piece gives

    @property
    def units(self) -> int:
        """Return the number of positions: so many text and so many audio tokens."""
        return len(self.audio_ids)

    def to(self, device: torch.device) -> PackedBatch:
        here = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        moved: PackedBatch = replace(self, **here)  # type: ignore[arg-type]
        return moved


@dataclass(frozen=True)
class Hearing:
    """How sounds become log-mels."""

    piece_samples: int  # what the acoustic encoder takes at once
    augment: Augment | None = None
    seed: int = 0

    def mels(self, documents: Sequence[Document]) -> list[tuple[Tensor, int]]:
        """Return the pieces of all sounds, in order; see `piece_mels`. Raises SoundError."""
        pieces: list[tuple[Tensor, int]] = []
        for one in documents:
            rng = np.random.default_rng((self.seed, one.turn, zlib.crc32(one.id.encode())))
            for sound in one.sounds:
                waveform = waveform_of(sound.data)
                if self.augment is not None:
                    waveform = self.augment(waveform, rng)
                pieces += piece_mels(waveform, len(sound.codes), self.piece_samples)
        return pieces


def packed_batch(documents: Sequence[Document], hearing: Hearing) -> PackedBatch:
    """Pack documents side by side. Raises SoundError."""
    pieces = hearing.mels(documents)

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(one, name) for one in documents]))

    return PackedBatch(
        ids=tuple(one.id for one in documents),
        tasks=tuple(one.task for one in documents),
        lengths=tuple(len(one) for one in documents),
        audio_ids=joined("audio_ids"),
        text_ids=joined("text_ids"),
        audio_labels=joined("audio_labels"),
        text_labels=joined("text_labels"),
        audio_counts=joined("audio_counts"),
        text_counts=joined("text_counts"),
        continuous=joined("continuous"),
        position_ids=torch.cat([torch.arange(len(one)) for one in documents]),
        mels=torch.stack([mel for mel, _ in pieces]) if pieces else None,
        mel_tokens=tuple(tokens for _, tokens in pieces),
    )
