"""The loop: schedules, resumption bit for bit, workers that add up, and what stops it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from wavemill.model.data.source import Batches, Prefetched, Share
from wavemill.model.train import checkpoint
from wavemill.model.train.checkpoint import RunChanged
from wavemill.model.train.learner import Example, Learner, Loss, Progress
from wavemill.model.train.loop import Outcome, Training
from wavemill.model.train.metrics import FILE
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoopSettings, OptimizerSettings
from wavemill.model.train.step import NotFinite, Stepper, learning_rate

STEPS = 12


@dataclass(frozen=True)
class Numbers:
    ids: tuple[str, ...]
    x: torch.Tensor
    units: int = 10

    def to(self, device: torch.device) -> Numbers:
        return Numbers(self.ids, self.x.to(device))


@dataclass
class Series(Batches[Numbers]):
    share: Share = field(default_factory=Share)
    at: int = 0
    poisoned: int = -1

    def __next__(self) -> Numbers:
        number = self.at * self.share.world + self.share.rank
        self.at += 1
        x = torch.randn(4 + number % 3, 3, generator=torch.Generator().manual_seed(number))
        return Numbers((f"item{number}",), x * float("nan") if number == self.poisoned else x)

    def state(self) -> dict[str, Any]:
        return {"next": self.at * self.share.world}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.at = state["next"] // self.share.world


class Line(Learner[Numbers]):
    """Two optimizers, one of which draws at random; a part is frozen at first."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.one, self.two = nn.Linear(3, 2), nn.Linear(2, 1)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"one": self.one, "two": self.two}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {"two": list(self.two.parameters()), "one": list(self.one.parameters())}

    def prepare(self, progress: Progress) -> None:
        self.two.bias.requires_grad_(progress.fraction >= 0.5)

    def counts(self, batch: Numbers) -> Mapping[str, float]:
        return {"rows": float(len(batch.x))}

    def loss(self, optimizer: str, batch: Numbers, progress: Progress) -> Loss:
        noise = torch.randn(len(batch.x), 1)
        error = (self.two(self.one(batch.x).tanh()) - batch.x[:, :1] - 0.1 * noise).square().sum()
        parts = {f"loss/{optimizer}": (error.detach(), torch.tensor(float(len(batch.x))))}
        if optimizer == "one":  # a mean over a count that is known before
            return Loss(error / progress.counts["rows"], None, parts)
        return Loss(error, len(batch.x), parts)

    def examples(self, limit: int) -> Iterator[Example]:
        yield from [Example("x", "y", "z")][:limit]

    def export(self, folder: Path) -> None: ...


def settings(**changes: Any) -> LoopSettings:
    told: dict[str, Any] = {
        "micro_batches": 2, "log_steps": 3, "checkpoint": {"steps": 5, "keep": 1},
        "optimizer": {"learning_rate": 0.05},
    }  # fmt: skip
    return LoopSettings.model_validate(told | changes)


def train(run: Path, ranks: Ranks | None = None, **changes: Any) -> tuple[Outcome, Line]:
    ranks = ranks or Ranks()
    learner = Line()
    poisoned = changes.pop("poisoned", -1)
    identity = changes.pop("identity", {"a": 1})
    source = Prefetched(Series(Share(ranks.rank, ranks.world), poisoned=poisoned))
    run.mkdir(exist_ok=True)
    total = STEPS * 2 * 10
    outcome = Training(learner, source, settings(**changes), total, run, ranks, identity)()
    return outcome, learner


def weights(learner: Line) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": t for n, m in learner.modules().items() for k, t in m.state_dict().items()}


def test_a_resumed_run_ends_in_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    outcome, whole = train(tmp_path / "whole")
    assert outcome == Outcome(STEPS, STEPS * 20, True, {})
    early, _ = train(tmp_path / "broken", stop_after_steps=8)  # the checkpoint is of step 5
    assert (early.step, early.complete) == (8, False)
    _, resumed = train(tmp_path / "broken")
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    kinds = [
        json.loads(line)
        for line in (tmp_path / "broken" / FILE).read_text(encoding="utf-8").splitlines()
    ]
    steps = [one["step"] for one in kinds if one["kind"] == "train"]
    assert steps == sorted(set(steps))  # steps that were done again are there once
    assert [p.name for p in checkpoint.checkpoints(tmp_path / "broken")] == ["step-000000012"]


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    _, first = train(tmp_path)
    outcome, again = train(tmp_path)
    assert outcome.complete
    assert all(torch.equal(t, weights(again)[n]) for n, t in weights(first).items())


def test_another_recipe_cannot_continue_a_run(tmp_path: Path) -> None:
    train(tmp_path, stop_after_steps=5)
    with pytest.raises(RunChanged, match=r"another a \(1, now 2\)"):
        train(tmp_path, identity={"a": 2})


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_data(tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match=r"step 3: the loss of 'two' is nan for item7"):
        train(tmp_path, poisoned=7)


def _rank(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=world)
    _, learner = train(folder / "two", Ranks(rank, world))
    if rank == 0:
        torch.save(weights(learner), folder / "weights.pt")
    dist.destroy_process_group()


def test_two_workers_end_where_one_does(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_rank, args=(r, 2, tmp_path)) for r in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
        assert one.exitcode == 0
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    _, alone = train(tmp_path / "one")
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4)
    # And what the two have saved, one continues.
    assert train(tmp_path / "two")[0].complete


def test_the_rate_rises_and_falls_as_a_cosine() -> None:
    told = OptimizerSettings(learning_rate=1.0, final_learning_rate=0.1, warm_up=0.1)
    rates = [learning_rate(told, Progress(0, units, 1000), 10) for units in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1)
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_counts_are_taken_where_the_loader_left_the_batch() -> None:
    """On a GPU, each count of a batch that is there would wait for all work before it."""
    counted: list[bool] = []

    class Moved(Numbers):
        pass

    class Loaded(Numbers):
        def to(self, device: torch.device) -> Numbers:
            return Moved(self.ids, self.x.to(device))

    class Counting(Line):
        def counts(self, batch: Numbers) -> Mapping[str, float]:
            counted.append(isinstance(batch, Loaded))
            return super().counts(batch)

        def flops(self, batch: Numbers) -> float:
            counted.append(isinstance(batch, Loaded))
            return 0.0

        def loss(self, optimizer: str, batch: Numbers, progress: Progress) -> Loss:
            assert isinstance(batch, Moved)
            return super().loss(optimizer, batch, progress)

    stepper = Stepper(Counting(), LoopSettings(micro_batches=2), Ranks())
    batches = [Loaded((f"item{n}",), torch.ones(4, 3)) for n in range(2)]
    assert stepper(batches, Progress(0, 0, 100)) == 20
    assert counted == [True] * 4
