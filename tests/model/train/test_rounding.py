"""Weights in bfloat16: rounding is right on average, so that small updates are not lost."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.model.data.made import conversation_row, write
from wavemill.model.io.tensors import stored_tensors
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import work
from wavemill.model.train.optimizers import RoundingAdamW, rounded
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe


def test_rounding_is_right_on_average() -> None:
    torch.manual_seed(0)
    value = torch.tensor([1.001, -3.14159, 1e-30, 0.0]).repeat(20_000, 1)
    found = rounded(value)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float().mean(0), value[0], rtol=2e-4, atol=0)
    exact = torch.tensor([0.5, -2.0])
    assert torch.equal(rounded(exact).float(), exact)


def test_small_updates_add_up() -> None:
    torch.manual_seed(0)
    ends = []
    for dtype in (torch.float32, torch.bfloat16):
        weight = nn.Parameter(torch.ones(4096, dtype=dtype))
        kind = torch.optim.AdamW if dtype == torch.float32 else RoundingAdamW
        optimizer = kind([weight], lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
        for _ in range(100):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        ends.append(float(weight.detach().float().mean()))
    assert abs(ends[1] - ends[0]) < 2e-4  # of a change of 0.011


def test_a_resumed_run_ends_in_the_same_weights(tmp_path: Path) -> None:
    corpus = write(tmp_path / "work", "sft", [[conversation_row(i) for i in range(6)]])

    def job(run: str, **loop: object) -> LlmTraining:
        recipe = SftRecipe.model_validate(
            {
                "data": {"positions": 128}, "tokens": 600,
                "loop": {"weights": "bfloat16", "checkpoint": {"steps": 2}, **loop},
            }
        )  # fmt: skip
        return LlmTraining(str(corpus), recipe, tmp_path / run)

    work(job("whole"), Ranks())
    work(job("stopped", stop_after_steps=3), Ranks())
    work(job("stopped"), Ranks())
    whole, stopped = (stored_tensors(tmp_path / run / "model") for run in ("whole", "stopped"))
    for name, tensor in whole.items():
        assert tensor.dtype == "BF16"
        assert torch.equal(tensor.read("cpu"), stopped[name].read("cpu")), name
