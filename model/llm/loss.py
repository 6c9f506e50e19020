"""The training loss of both streams."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from wavemill.model.llm.network import LlmOutput

COUNT_FLOOR = 1e-4  # added to the number of flagged positions, as in the published fine-tuning


@dataclass(frozen=True)
class StreamLabels:
    """What a stream should predict at each position, and whether that counts."""

    ids: Tensor  # int64 (batch, positions): the stream shifted left by one
    counts: Tensor  # bool (batch, positions)


@dataclass(frozen=True)
class Losses:
    """Mean cross entropies in nats, scalars; a stream without counting positions gives 0."""

    audio: Tensor
    text: Tensor

    @property
    def total(self) -> Tensor:
        return self.audio + self.text


def losses(output: LlmOutput, audio: StreamLabels, text: StreamLabels) -> Losses:
    """Return the loss of both heads over the whole batch (fixture finetune_layouts, "loss")."""
    return Losses(_mean(output.audio_logits, audio), _mean(output.text_logits, text))


def _mean(logits: Tensor, labels: StreamLabels) -> Tensor:
    wanted = labels.ids[labels.counts]
    summed = functional.cross_entropy(logits[labels.counts].float(), wanted, reduction="sum")
    return summed / (wanted.numel() + COUNT_FLOOR)
