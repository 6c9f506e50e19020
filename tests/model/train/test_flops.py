"""The operations of the audio branch were counted in rows that never went through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import PretrainRecipe, SftRecipe


@pytest.mark.parametrize("kind", ["sft", "pretrain"])
def test_flops_are_what_torch_counts(kind: str, tmp_path: Path) -> None:
    model = SftRecipe if kind == "sft" else PretrainRecipe
    recipe = model.model_validate({"tokens": 1, "data": {"positions": 512}})
    rows = [conversation_row(i) if kind == "sft" else segment_row(i // 4, i % 4) for i in range(24)]
    corpus = write(tmp_path, kind, [rows])
    job = LlmTraining(str(corpus), recipe, tmp_path)
    learner, batches = job.learner(), job.data(Ranks()).batches
    batch = next(batches)
    batches.close()
    with FlopCounterMode(display=False) as counted:
        progress = Progress(0, 0, 1, learner.counts(batch))
        learner.loss(MAIN, batch, progress).total.backward()
    assert learner.flops(batch) == pytest.approx(counted.get_total_flops(), rel=0.06)
