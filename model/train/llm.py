"""Pre-training and fine-tuning of the audio LLM, as a learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from wavemill.model.data.batch import PackedBatch
from wavemill.model.llm.loss import COUNT_FLOOR
from wavemill.model.train.learner import MAIN, Example, Learner, Loss, Progress
from wavemill.model.train.llm_network import LearningLlm


@dataclass
class LlmLearner(Learner[PackedBatch]):
    """The loss of a step is the mean over its counted text positions plus that over its audio.

    As in the published fine-tuning (docs/published-format.md), with the counts of the whole
    step in place of those of one sample.
    """

    network: LearningLlm
    frozen_acoustic: float = 0.0  # share of the training in which the acoustic encoder stays
    exported: Callable[[LearningLlm, Path], None] | None = None
    decoded: Callable[[LearningLlm, int], Iterator[Example]] | None = None
    _body: int = field(init=False)  # parameters that every position goes through
    _mouth: int = field(init=False)  # the audio branch: rows in which audio counts
    _head: int = field(init=False)
    _ears: int = field(init=False)

    def __post_init__(self) -> None:
        llm = self.network.llm
        self._body = sum(p.numel() for p in llm.model.layers.parameters())
        self._mouth = sum(p.numel() for p in llm.model.mimo_layers.parameters())
        self._head = llm.lm_head.weight.numel()
        self._ears = sum(p.numel() for p in self.network.acoustic.encoder.layers.parameters())

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        # The encoder's positions are sinusoids that are never learnt.
        return {MAIN: [p for n, p in self.network.named_parameters() if not _fixed(n)]}

    def shardable(self) -> Sequence[nn.Module]:
        # The acoustic encoder stays in one piece: how often it is called, once for each length of
        # sounds in a batch, differs between ranks, and they must gather the same blocks in turn.
        llm = self.network.llm.model
        return [*llm.layers, *llm.mimo_layers]

    def prepare(self, progress: Progress) -> None:
        learns = progress.fraction >= self.frozen_acoustic
        for name, parameter in self.network.acoustic.named_parameters():
            parameter.requires_grad_(learns and not _fixed(name))

    def counts(self, batch: PackedBatch) -> Mapping[str, float]:
        return {"text": float(batch.text_counts.sum()), "audio": float(batch.audio_counts.sum())}

    def loss(self, optimizer: str, batch: PackedBatch, progress: Progress) -> Loss:
        del optimizer
        found = self.network(batch)
        counts = progress.counts
        total = found.text.sum() / (counts["text"] + COUNT_FLOOR)
        total = total + found.audio.sum() / (counts["audio"] + COUNT_FLOOR)
        parts = {
            f"loss/{name}": pair for name, pair in self._by_task(batch, found.text, found.audio)
        }
        return Loss(total, None, parts)

    def flops(self, batch: PackedBatch) -> float:
        """Return 6 operations a parameter and position, and what attention adds to that."""
        config = self.network.llm.config
        attended = sum(length * length for length in batch.lengths) / 2
        speaks = bool(batch.audio_counts.any())
        layers = config.num_hidden_layers + (config.audio_layers if speaks else 0)
        body = self._body + (self._mouth if speaks else 0)
        scored = int(batch.text_counts.sum()) + int(batch.audio_counts.sum())
        frames = sum(group.mels.shape[0] * group.mels.shape[2] // 2 for group in batch.mels)
        return (
            6.0 * body * batch.units
            + 6.0 * self._head * scored
            + 12.0 * layers * config.hidden_size * attended
            + 6.0 * self._ears * frames
        )

    def export(self, folder: Path) -> None:
        if self.exported is not None:
            self.exported(self.network, folder)

    def examples(self, limit: int) -> Iterator[Example]:
        return iter(()) if self.decoded is None else self.decoded(self.network, limit)

    def _by_task(
        self, batch: PackedBatch, text: Tensor, audio: Tensor
    ) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """Yield sum and count of each head's losses, in all and by task."""
        tasks = sorted(set(batch.tasks))
        places = torch.tensor([tasks.index(task) for task in batch.tasks])
        task_of = places.repeat_interleave(torch.tensor(batch.lengths)).to(batch.audio_ids.device)
        for head, losses, counts in (
            ("text", text.detach(), batch.text_counts),
            ("audio", audio.detach(), batch.audio_counts),
        ):
            yield head, (losses.sum(), counts.sum())
            owners = task_of[counts]
            for number, task in enumerate(tasks):
                mine = owners == number
                yield f"{task}/{head}", ((losses * mine).sum(), mine.sum())


def _fixed(name: str) -> bool:
    return name.endswith("embed_positions.weight")
