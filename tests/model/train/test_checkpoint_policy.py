"""`keep_every` kept nothing unless a checkpoint happened to fall on such a step."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.model.train.test_loop import STEPS, train
from wavemill.model.train import checkpoint
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import CheckpointSettings


def test_checkpoints_that_are_kept_for_good_are_written(tmp_path: Path) -> None:
    train(tmp_path, checkpoint={"minutes": 60, "keep": 1, "keep_every": 5})
    assert [p.name for p in checkpoint.checkpoints(tmp_path)] == [
        f"step-{step:09}" for step in (5, 10, STEPS)
    ]


def test_halves_that_a_killed_worker_left_are_deleted(tmp_path: Path) -> None:
    left = tmp_path / checkpoint.FOLDER / ".step-000000003.partial"
    left.mkdir(parents=True)
    (left / checkpoint.STATE).write_text("{", encoding="utf-8")
    assert checkpoint.checkpoints(tmp_path) == []
    train(tmp_path)
    assert not left.exists()


def test_a_fused_optimizer_has_its_steps_where_its_parameters_are(tmp_path: Path) -> None:
    """On a GPU its kernels read them there; `meta` stands for one."""
    here, there = nn.Linear(2, 2), nn.Linear(2, 2, device="meta")
    first = torch.optim.AdamW(here.parameters(), fused=True)
    here(torch.ones(1, 2)).sum().backward()
    first.step()
    folder = checkpoint.save(tmp_path, 1, {}, {"main": first}, {}, Ranks())
    second = torch.optim.AdamW(there.parameters(), foreach=False)
    second.defaults["fused"] = True
    checkpoint.load(folder, {}, {"main": second})
    assert {t.device.type for one in second.state.values() for t in one.values()} == {"meta"}


def test_the_defaults_keep_the_newest(tmp_path: Path) -> None:
    train(tmp_path, checkpoint={"steps": 2})
    names = [p.name for p in checkpoint.checkpoints(tmp_path)]
    assert len(names) == CheckpointSettings().keep
    assert names[-1] == f"step-{STEPS:09}"
