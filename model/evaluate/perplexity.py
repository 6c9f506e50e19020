"""Perplexity of a model on held-out data, for text ids and audio codes, by task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from wavemill.model.data.batch import PackedBatch, packed_batch
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.documents import Document
from wavemill.model.data.llm import epoch
from wavemill.model.data.planning import Planner, Span
from wavemill.model.data.sound import SoundError
from wavemill.model.tokenizer.config import EncoderConfig
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LearningLlm, LlmLearner, LlmTraining, build_network
from wavemill.model.train.recipe import NetworkSettings, PretrainRecipe, SftRecipe

LOSS = "loss/"
WINDOW_BYTES = 16 << 20  # of stored audio in memory at once


@dataclass(frozen=True)
class Perplexity:
    """The perplexity of one stream of one task; `task` "" means all tasks."""

    task: str
    stream: Literal["text", "audio"]
    tokens: int  # in the loss
    nats: float  # mean cross entropy

    @property
    def value(self) -> float:
        """Return exp of the mean cross entropy."""
        return math.exp(min(self.nats, 700.0))


def perplexity(network: LearningLlm, batches: Iterable[PackedBatch]) -> list[Perplexity]:
    """Return the perplexity over the loss masks of packed documents."""
    learner = LlmLearner(network.eval())
    sums: dict[str, tuple[float, float]] = {}
    with torch.no_grad():
        for batch in batches:
            loss = learner.loss(MAIN, batch, Progress(0, 0, 1, learner.counts(batch)))
            for name, part in loss.parts.items():
                total, count = part if isinstance(part, tuple) else (part, torch.tensor(1.0))
                before = sums.get(name, (0.0, 0.0))
                sums[name] = (before[0] + float(total), before[1] + float(count))
    return [
        _named(name.removeprefix(LOSS), total, count)
        for name, (total, count) in sorted(sums.items())
        if count
    ]


def corpus_perplexity(
    model: Path,
    corpus: str,
    kind: Literal["pretrain", "sft"],
    split: str | None,
    texts: tuple[str, ...] = (),
    documents: int | None = None,
    device: str = "cpu",
) -> list[Perplexity]:
    """Return the perplexity of a model folder on one split of a corpus (None: rows without one).

    For `pretrain`, the recordings are assigned to the seven tasks in their shares. At most
    `documents` are used. Raises DataError, also if the split is empty, and WeightsError.
    """
    rows = Corpus.open(corpus, kind, frozenset({split}))
    network = build_network(NetworkSettings(), model, rows.codebook_size, 0).to(device)
    recipe = PretrainRecipe() if kind == "pretrain" else SftRecipe()
    data = LlmTraining(corpus, recipe, Path(), texts, init=model).data_source()
    planner = data.planner(rows, data.opened_texts())
    found = _batches(planner, data.positions, documents, data.encoder)
    return perplexity(network, (batch.to(torch.device(device)) for batch in found))


def _batches(
    planner: Planner, positions: int, limit: int | None, encoder: EncoderConfig
) -> Iterator[PackedBatch]:
    held: list[Document] = []
    for number, one in enumerate(epoch(planner, Span(window_bytes=WINDOW_BYTES))):
        if limit is not None and number >= limit:
            break
        if held and sum(map(len, held)) + len(one) > positions:
            yield from _packed(held, encoder)
            held = []
        held.append(one)
    yield from _packed(held, encoder)


def _packed(held: list[Document], encoder: EncoderConfig) -> Iterator[PackedBatch]:
    """Yield one batch; if audio cannot be decoded, one batch per document that can be."""
    if not held:
        return
    try:
        yield packed_batch(held, encoder)
    except SoundError:
        if len(held) > 1:
            for one in held:
                yield from _packed([one], encoder)


def _named(name: str, total: float, count: float) -> Perplexity:
    task, _, stream = name.rpartition("/")
    assert stream in ("text", "audio")
    return Perplexity(task, "text" if stream == "text" else "audio", int(count), total / count)
