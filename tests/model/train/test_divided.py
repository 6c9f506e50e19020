"""No worker builds the whole network, and its groups are gathered one at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from tests.model.data.made import conversation_row, write
from wavemill.model.train import layers
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LlmTraining, draw_tensors
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoopSettings, SftRecipe
from wavemill.model.train.step import Stepper


def job(folder: Path, init: Path | None = None, **loop: Any) -> LlmTraining:
    corpus = folder / "work"
    if not corpus.exists():
        write(corpus, "sft", [[conversation_row(i) for i in range(4)]])
    recipe = SftRecipe.model_validate(
        {"tokens": 100, "data": {"positions": 128}, "loop": {"micro_batches": 2, **loop}}
    )
    return LlmTraining(str(corpus), recipe, folder / "run", init=init)


def in_two(test: Callable[[int, Path], None], folder: Path) -> None:
    """Run a test in two processes that are the workers of a training."""
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_in_one, args=(test, r, folder)) for r in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
        assert one.exitcode == 0


def _in_one(test: Callable[[int, Path], None], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    test(rank, folder)
    dist.destroy_process_group()


def _half(rank: int, folder: Path) -> None:
    training = job(folder, folder / "init", shard=True, precision="bfloat16", recompute=True)
    learner = training.learner()
    assert all(p.is_meta for p in learner.network.parameters())
    stepper = Stepper(learner, training.loop, Ranks(rank, 2))
    whole = sum(p.numel() for p in learner.network.parameters())
    learner.fill()
    for name, parameter in learner.network.named_parameters():
        assert isinstance(parameter, DTensor), name
    held = sum(p.to_local().numel() for p in learner.network.parameters())
    assert held <= 0.6 * whole
    # Embedding, norms with their heads, and every layer, those of Whisper too, are groups.
    alone = {name for name, m in learner.network.named_modules() if isinstance(m, FSDPModule)}
    config, encoder = learner.network.llm.config, learner.network.acoustic.config
    count = config.num_hidden_layers + config.audio_layers + encoder.encoder_layers
    assert len([name for name in alone if "layers." in name]) == count
    assert {"llm.model.embed_tokens", "llm.lm_head", "llm.mimo_output", "llm.model.norm"} <= alone
    wanted = torch.load(folder / "weights.pt")
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor.full_tensor(), wanted[name]), name
    # Products of bfloat16, in sharded parameters as well as out of them.
    batches = training.data(Ranks(rank, 2)).batches
    with batches:
        stepper([next(batches)], Progress(0, 0, 100))


def test_each_worker_holds_its_half(tmp_path: Path) -> None:
    learner = job(tmp_path).learner()
    learner.export(tmp_path / "init")
    torch.save(learner.network.state_dict(), tmp_path / "weights.pt")
    in_two(_half, tmp_path)


def test_weights_are_drawn_by_name(tmp_path: Path) -> None:
    one, two = job(tmp_path).learner().network, job(tmp_path, shard=True).learner().network
    two.to_empty(device="cpu")
    draw_tensors(two, 0, 0.02)
    for name, tensor in two.state_dict().items():
        other = one.state_dict()[name]
        if tensor.ndim < 2 or name.endswith("embed_positions.weight"):
            torch.testing.assert_close(tensor, other.abs() if "norm" in name else tensor)
        else:
            assert 0.015 < float(tensor.std()) < 0.025, name


def test_layers_are_recomputed_then_compiled_then_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def checkpointed(run: Any, *args: Any, use_reentrant: bool) -> Any:
        assert not use_reentrant
        seen.append("recomputed")
        return run(*args)

    def compiled(run: Any) -> Any:
        def call(*args: Any) -> Any:
            seen.append("compiled")
            return run(*args)

        return call

    monkeypatch.setattr(layers, "checkpoint", checkpointed)
    monkeypatch.setattr(torch, "compile", compiled)
    layer = torch.nn.Linear(2, 2)
    names = set(layer.state_dict())
    layers.prepare([layer], LoopSettings(recompute=True, compile=True))
    layer.register_forward_pre_hook(lambda *_: seen.append("gathered"))
    layer(torch.ones(1, 2))
    assert seen == ["gathered", "compiled", "recomputed"]
    assert set(layer.state_dict()) == names


def test_compiled_layers_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run: plain(run, backend="eager"))
    found = []
    for loop in ({}, {"recompute": True, "compile": True}):
        training = job(tmp_path, **loop)
        learner = training.learner()
        Stepper(learner, training.loop, Ranks())
        with training.data(Ranks()).batches as batches:
            batch = next(batches)
        loss = learner.loss(MAIN, batch, Progress(0, 0, 1, learner.counts(batch)))
        loss.total.backward()
        found.append(learner.network.llm.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-4)
