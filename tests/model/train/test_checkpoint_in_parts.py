"""Checkpoints are written in parts while the training goes on; whole tensors are read as well."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.model.train.test_loop import Line, train, weights
from wavemill.model.io.tensors import write_tensors
from wavemill.model.train import checkpoint
from wavemill.model.train.ranks import Ranks


def learnt(network: nn.Module) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer


def test_what_is_written_is_how_it_was_when_that_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = learnt(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept: list[Future[object]] = []
    plain = checkpoint.async_save

    def held(*args: object, **given: object) -> Future[object]:
        kept.append(plain(*args, **given))  # type: ignore[arg-type]
        return Future() if len(kept) == 1 else kept[-1]  # never done, as far as one can see

    monkeypatch.setattr(checkpoint, "async_save", held)
    writer = checkpoint.Writer(tmp_path, Ranks())
    folder = writer.begin(1, {"one": network}, {"main": optimizer}, {"step": 1})
    learnt(network)
    assert not writer.settle()
    assert checkpoint.checkpoints(tmp_path) == []
    kept[0].result()
    assert writer._pending is not None
    writer._pending = (kept[0], *writer._pending[1:])
    assert writer.settle()
    assert checkpoint.checkpoints(tmp_path) == [folder]
    assert not list(folder.glob("*.metadata"))  # safetensors and JSON: nothing in it is run
    other = nn.Linear(3, 2)
    checkpoint.load(folder, {"one": other}, {"main": torch.optim.AdamW(other.parameters())})
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_checkpoints_of_whole_tensors_still_load(tmp_path: Path) -> None:
    _, whole = train(tmp_path / "whole")
    train(tmp_path / "old", stop_after_steps=8)
    (folder,) = checkpoint.checkpoints(tmp_path / "old")
    learner = Line()
    optimizers = {
        name: torch.optim.AdamW(
            [
                {"params": [p for p in group if p.ndim > 1]},
                {"params": [p for p in group if p.ndim < 2]},
            ]
        )
        for name, group in learner.optimized().items()
    }
    checkpoint.load(folder, learner.modules(), optimizers)
    tensors = {n: t.clone() for n, t in checkpoint._tensors(learner.modules(), optimizers)}
    for file in folder.glob("*.safetensors"):
        file.unlink()
    half = len(tensors) // 2
    names = list(tensors)
    write_tensors(folder / "00000.safetensors", {n: tensors[n] for n in names[:half]})
    write_tensors(folder / "00001.safetensors", {n: tensors[n] for n in names[half:]})
    _, resumed = train(tmp_path / "old")
    assert all(torch.equal(t, weights(resumed)[n]) for n, t in weights(whole).items())


def test_another_shape_is_one_line(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    folder = checkpoint.save(tmp_path, 1, {"one": network}, {}, {}, Ranks())
    assert json.loads((folder / checkpoint.STATE).read_text(encoding="utf-8")) == {}
    with pytest.raises(checkpoint.WeightsError, match=r"module/one/weight is \(2, 3\), wanted"):
        checkpoint.load(folder, {"one": nn.Linear(4, 2)}, {})
    with pytest.raises(checkpoint.WeightsError, match="has no tensor module/two/weight"):
        checkpoint.load(folder, {"two": network}, {})


def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.HuggingFaceStorageWriter, "write_data", full)
    with pytest.raises(checkpoint.WeightsError, match=r"step-000000001: No space left on device$"):
        checkpoint.save(tmp_path, 1, {"one": nn.Linear(3, 2)}, {}, {}, Ranks())
    assert checkpoint.checkpoints(tmp_path) == []
