"""A network divided up among two workers learns what one worker learns."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from tests.model.data.made import conversation_row, write
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import work
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe

THAW = 0.5  # share of the training in which the acoustic encoder stays as it is
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}


def training(corpus: Path, run: Path, shard: bool, thaw: float = 0.0, **loop: int) -> LlmTraining:
    recipe = SftRecipe.model_validate(
        {
            "network": {"llm": SMALL, "acoustic": {"d_model": 16, "encoder_ffn_dim": 32}},
            "data": {"positions": 128},
            "tokens": 1500,
            "frozen_acoustic": thaw,
            "loop": {
                "micro_batches": 2, "shard": shard, "recompute": shard,
                "optimizer": {"learning_rate": 1e-3}, "checkpoint": {"steps": 3},
                **loop,
            },
        }
    )  # fmt: skip
    init = run.parent / "init"
    return LlmTraining(str(corpus), recipe, run, init=init if init.is_dir() else None)


def begin(corpus: Path, folder: Path) -> None:
    """Write the model folder that trainings in `folder` begin with."""
    whole = LlmTraining(str(corpus), training(corpus, folder / "run", False).recipe, folder)
    whole.learner().export(folder / "init")


def _rank(rank: int, corpus: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    stopped = training(corpus, folder / "two", True, THAW, stop_after_steps=4)
    assert not work(stopped, Ranks(rank, 2)).complete
    work(training(corpus, folder / "two", True, THAW), Ranks(rank, 2))  # goes on from a checkpoint
    dist.destroy_process_group()


def test_sharded_is_the_same_as_whole(tmp_path: Path) -> None:
    # Sounds of several lengths: ranks call the acoustic encoder differently often.
    rows = [conversation_row(i) for i in range(9)]
    corpus = write(tmp_path / "work", "sft", [rows[:5], rows[5:]])
    begin(corpus, tmp_path)
    work(training(corpus, tmp_path / "one", False, THAW), Ranks())
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_rank, args=(r, corpus, tmp_path)) for r in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
        assert one.exitcode == 0
    found, wanted = (
        load_file(tmp_path / run / "model" / "model.safetensors") for run in ("two", "one")
    )
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=1e-3)
    # One worker, which divides nothing up, takes over what two have saved.
    assert work(training(corpus, tmp_path / "two", False, THAW), Ranks()).complete
