"""Documents packed into one row, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavemill.model.data.corpus import Sound
from wavemill.model.data.documents import Document
from wavemill.model.data.sound import SoundError, piece_mels, too_short, waveform_of
from wavemill.model.data.source import Problems
from wavemill.model.tokenizer.config import EncoderConfig


@dataclass(frozen=True)
class Mels:
    """Log-mels of pieces of sound that are equally long."""

    mels: Tensor  # float32 (pieces, 128, frames)
    numbers: tuple[int, ...]  # of the pieces, in the order of the row
    tokens: tuple[int, ...]  # rows of features that each piece gives


_MASKS = {
    "heard": "continuous",
    "audio_scored": "audio_loss_mask",
    "text_scored": "text_loss_mask",
}


@dataclass(frozen=True)
class PackedBatch:
    """One row of documents, one after another; attention stays within a document.

    Tensors over positions are (positions,): ids and labels int64, masks bool.
    """

    ids: tuple[str, ...]  # of the documents
    tasks: tuple[str, ...]  # of the documents
    lengths: tuple[int, ...]  # of the documents, in positions
    audio_ids: Tensor
    text_ids: Tensor
    audio_labels: Tensor
    text_labels: Tensor
    audio_loss_mask: Tensor
    text_loss_mask: Tensor
    continuous: Tensor
    position_ids: Tensor  # int64, from 0 in each document
    mels: tuple[Mels, ...]  # the sounds, piece by piece
    # int64: where `continuous` and the loss masks are set. They are found before the batch is on a
    # GPU, where it would have to finish all work first.
    heard: Tensor = field(default=None)  # type: ignore[assignment]
    audio_scored: Tensor = field(default=None)  # type: ignore[assignment]
    text_scored: Tensor = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, mask in _MASKS.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self, mask).nonzero()[:, 0])

    @property
    def units(self) -> int:
        """Return the number of positions: so many text and so many audio tokens."""
        return len(self.audio_ids)

    def to(self, device: torch.device) -> PackedBatch:
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        mels = tuple(replace(m, mels=m.mels.to(device, non_blocking=True)) for m in self.mels)
        return replace(self, mels=mels, **moved)

    def pinned(self) -> PackedBatch:
        """Return the batch in memory from which a GPU copies while it computes."""
        held: dict[str, Any] = {
            name: value.pin_memory()
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        mels = tuple(replace(m, mels=m.mels.pin_memory()) for m in self.mels)
        return replace(self, mels=mels, **held)


def packed_batch(documents: Sequence[Document], encoder: EncoderConfig) -> PackedBatch:
    """Pack documents into one row, with log-mels for `encoder`. Raises SoundError."""
    pieces: list[tuple[Tensor, int]] = []
    for sound in (sound for one in documents for sound in one.sounds):
        pieces += piece_mels(decoded_sound(sound), len(sound.codes), encoder)

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
        audio_loss_mask=joined("audio_loss_mask"),
        text_loss_mask=joined("text_loss_mask"),
        continuous=joined("continuous"),
        position_ids=torch.cat([torch.arange(len(one)) for one in documents]),
        mels=_grouped(pieces),
    )


def decoded_sound(sound: Sound) -> np.ndarray:
    """Return the waveform of a sound, float32 (samples,) at 16 kHz.

    Raises SoundError for audio that cannot be decoded or is shorter than its tokens.
    """
    waveform = waveform_of(sound.data) if sound.waveform is None else sound.waveform
    if too_short(len(waveform), len(sound.codes)):
        raise SoundError(f"{len(waveform)} samples for {len(sound.codes)} tokens of 80 ms")
    return waveform


def audible_batch(
    documents: Sequence[Document], encoder: EncoderConfig, problems: Problems
) -> PackedBatch | None:
    """Pack the documents whose sounds can be decoded; None if there are none.

    The others are added to `problems`, as "undecodable_audio".
    """
    try:
        return packed_batch(documents, encoder) if documents else None
    except SoundError:
        good = [one for one in documents if _audible(one, problems)]
    return packed_batch(good, encoder) if good else None


def _audible(one: Document, problems: Problems) -> bool:
    try:
        for sound in one.sounds:
            decoded_sound(sound)
    except SoundError as error:
        problems.add("undecodable_audio", one.id, str(error))
        return False
    return True


def _grouped(pieces: Sequence[tuple[Tensor, int]]) -> tuple[Mels, ...]:
    groups: dict[int, list[int]] = {}
    for number, (mel, _) in enumerate(pieces):
        groups.setdefault(mel.shape[1], []).append(number)
    return tuple(
        Mels(
            torch.stack([pieces[i][0] for i in numbers]),
            tuple(numbers),
            tuple(pieces[i][1] for i in numbers),
        )
        for numbers in groups.values()
    )
