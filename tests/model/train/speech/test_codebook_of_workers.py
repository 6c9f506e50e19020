"""Dead codes were revived by the first worker's states alone: two workers learnt other codes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch
import torch.distributed as dist

from wavemill.model.train.speech.tokenizer import CodebookSettings, MovingCodebook

SIZE, WIDTH, STEPS, MICRO_BATCHES = 40, 3, 4, 4


def learnt(rank: int, world: int) -> list[torch.Tensor]:
    moving = MovingCodebook(SIZE, WIDTH, CodebookSettings(decay=0.9, dead_after_steps=2))
    state = [torch.zeros(SIZE, WIDTH), torch.zeros(SIZE), torch.zeros(SIZE, WIDTH)]
    for step in range(STEPS):
        for number in range(rank, MICRO_BATCHES, world):
            torch.manual_seed(100 * step + number)
            hidden = torch.randn(3 + number, WIDTH)
            moving.collect(hidden, torch.cdist(hidden, state[0]).argmin(1))
        moving.update(*state, step)
    return [*state, moving.idle]


def _rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(learnt(rank, 2), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_learn_the_codes_of_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_rank, args=(rank, tmp_path)) for rank in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
        assert one.exitcode == 0
    alone = learnt(0, 1)
    for rank in range(2):
        for found, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), alone, strict=True):
            torch.testing.assert_close(found, wanted)
