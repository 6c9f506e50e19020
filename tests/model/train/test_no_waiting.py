"""A micro-batch looked at about 15 values, and each time a GPU had to finish its work first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import PretrainRecipe, SftRecipe

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")


class NoWaiting(TorchDispatchMode):
    """Refuses what would make a CPU wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in WAITS, name
        if name in ("index", "index_put", "_index_put_impl_"):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f"{name} by a mask"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["sft", "pretrain"])
def test_no_value_is_looked_at(kind: str, tmp_path: Path) -> None:
    model = SftRecipe if kind == "sft" else PretrainRecipe
    recipe = model.model_validate(
        {"tokens": 1, "data": {"positions": 512}, "loop": {"recompute": True}}
    )
    rows = [conversation_row(i) if kind == "sft" else segment_row(i // 4, i % 4) for i in range(24)]
    job = LlmTraining(str(write(tmp_path, kind, [rows])), recipe, tmp_path)
    learner = job.learner()
    with job.data(Ranks()).batches as batches:
        some = [next(batches) for _ in range(3)]
    assert any(batch.mels for batch in some)
    for batch in some:
        with NoWaiting():
            assert learner.flops(batch) > 0
            progress = Progress(0, 0, 1, learner.counts(batch))
            learner.loss(MAIN, batch, progress).total.backward()
