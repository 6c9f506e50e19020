"""Processes decode sound: the batches, their order and their positions stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.model.data.made import conversation_row, write
from wavemill.model.data.batch import PackedBatch
from wavemill.model.data.source import Batches, Prefetched, Share
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.recipe import SftRecipe


def made(corpus: Path, workers: int) -> Batches[PackedBatch]:
    recipe = SftRecipe.model_validate(
        {"tokens": 1, "data": {"positions": 128, "streams": 2, "workers": workers}}
    )
    return LlmTraining(str(corpus), recipe, corpus / "run").data_source().batches(Share())


def same(one: PackedBatch, other: PackedBatch) -> bool:
    tensors = [(getattr(one, n), getattr(other, n)) for n in ("audio_ids", "text_scored", "heard")]
    tensors += [(a.mels, b.mels) for a, b in zip(one.mels, other.mels, strict=True)]
    return one.ids == other.ids and all(torch.equal(a, b) for a, b in tensors)


def some(batches: Batches[PackedBatch], count: int) -> Iterator[tuple[PackedBatch, dict[str, Any]]]:
    for _ in range(count):
        yield next(batches), batches.state()


def test_the_same_batches_and_positions(tmp_path: Path) -> None:
    rows = [conversation_row(i) for i in range(9)]
    spoiled = next(m for row in rows[4:] for m in row["messages"] if m["audio"])
    spoiled["audio"] = dict(spoiled["audio"], bytes=b"no sound")
    corpus = write(tmp_path, "sft", [rows[:5], rows[5:]])
    with made(corpus, 0) as alone:
        wanted = list(some(alone, 8))
        problems = dict(alone.problems())
    assert problems == {"undecodable_audio": 1}
    with made(corpus, 1) as shared:
        found = list(some(shared, 5))
        assert dict(shared.problems()) == problems
        # What was made ahead is dropped, and made again.
        shared.restore(wanted[2][1])
        again = list(some(Prefetched(shared), 5))
    for one, other in zip(found, wanted, strict=False):
        assert same(one[0], other[0])
        assert one[1] == other[1]
    for one, other in zip(again, wanted[3:], strict=True):
        assert same(one[0], other[0])
        assert one[1] == other[1]
