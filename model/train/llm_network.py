"""The LLM and its ears as one network that gives the loss of packed documents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wavemill.model.audio import WHISPER_BANDS
from wavemill.model.data.batch import Mels, PackedBatch
from wavemill.model.llm.network import AudioLlm
from wavemill.model.llm.packed import Documents
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.pieces import TOKEN_FRAMES

SCORED_AT_ONCE = 2048  # positions: bounds the memory of scores over a large vocabulary


@dataclass(frozen=True)
class PositionLosses:
    """Cross entropies in nats of the positions that count, float32 (counted,), in their order."""

    audio: Tensor
    text: Tensor


class LearningLlm(nn.Module):
    """Everything that pre-training and fine-tuning train (report sections 4.1 and 4.2)."""

    def __init__(self, llm: AudioLlm, acoustic: AcousticEncoder) -> None:
        super().__init__()
        self.llm = llm
        self.acoustic = acoustic
        self.always_hears = False

    def forward(self, batch: PackedBatch) -> PositionLosses:
        """Return the losses of a row.

        The audio branch, a good part of the work, is left out of rows in which no audio counts.
        Where `always_hears`, it has a part in the losses of every row, if only a zero, and so have
        the ears: the workers of a sharded network must have the same gradients to exchange.
        """
        rows = self.features(batch.mels)
        silence = self._silence(rows) if self.always_hears and not len(rows) else None
        audio, text = self.llm.branches(
            batch.audio_ids[None],
            batch.text_ids[None],
            features=rows if len(rows) else None,
            continuous=batch.continuous[None],
            position_ids=batch.position_ids[None],
            documents=Documents.of(batch.lengths, batch.audio_ids.device),
            speaks=self.always_hears or bool(batch.audio_counts.any()),
        )
        if silence is not None:
            audio = audio + silence
        return PositionLosses(
            _losses(audio[0], self.llm.mimo_output, batch.audio_labels, batch.audio_counts),
            _losses(text[0], self.llm.lm_head, batch.text_labels, batch.text_counts),
        )

    def _silence(self, rows: Tensor) -> Tensor:
        """Return 0, by way of the acoustic encoder and the adaptor."""
        mels = rows.new_zeros(1, WHISPER_BANDS, TOKEN_FRAMES)
        return 0.0 * self.llm.model.vq_adaptor(self.acoustic.encode(mels)).sum()

    def features(self, groups: tuple[Mels, ...]) -> Tensor:
        """Return the features of all pieces, in order: (rows, width)."""
        pieces: dict[int, Tensor] = {}
        for group in groups:
            for number, tokens, rows in zip(
                group.numbers, group.tokens, self.acoustic.encode(group.mels), strict=True
            ):
                pieces[number] = rows[:tokens]
        if not pieces:
            return self.acoustic.encoder.conv1.weight.new_zeros(0, self.acoustic.width)
        return torch.cat([pieces[number] for number in sorted(pieces)])


def _losses(hidden: Tensor, head: nn.Linear, labels: Tensor, counts: Tensor) -> Tensor:
    kept, wanted = hidden[counts], labels[counts]
    if len(kept) <= SCORED_AT_ONCE:
        # Of nothing it is nothing, which still ties the branch to the loss.
        return _scored(kept, wanted, head)
    pieces = zip(
        torch.split(kept, SCORED_AT_ONCE), torch.split(wanted, SCORED_AT_ONCE), strict=True
    )
    parts = [checkpoint(_scored, some, ids, head, use_reentrant=False) for some, ids in pieces]
    return torch.cat(parts)


def _scored(hidden: Tensor, wanted: Tensor, head: nn.Linear) -> Tensor:
    return functional.cross_entropy(head(hidden).float(), wanted, reduction="none")
