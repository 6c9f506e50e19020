"""Ctrl-C and SIGTERM leave a checkpoint; the same command goes on, or says that all is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.jobs.test_train import SMALL, corpus, records, train  # noqa: F401 (a fixture)
from tests.model.train.test_loop import train as learn
from tests.support import ROOT
from wavemill.model.train import stopping
from wavemill.model.train.checkpoint import checkpoints

PATIENCE_S = 240.0  # on a machine that is busy
LONG = ("--set", "epochs=300", "--set", "loop.checkpoint.steps=100000")


@contextmanager
def training(corpus: Path, run: Path, *options: str) -> Iterator[subprocess.Popen[str]]:  # noqa: F811
    """Start a training as a person does: by relative paths, also where Ray has other folders."""
    fields = [part for field in SMALL for part in ("--set", field)]
    told = [
        "train",
        "sft",
        "--corpus",
        os.path.relpath(corpus, run.parent),
        "--out",
        run.name,
        *fields,
        *options,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "wavemill.jobs.cli", *told],
        cwd=run.parent, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def learnt_something(process: subprocess.Popen[str], run: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ((run / "metrics.jsonl").is_file() and records(run, "train")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


def steps(run: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in checkpoints(run)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    run = tmp_path / "run"
    with training(corpus, run, *LONG) as process:
        learnt_something(process, run)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, printed
    (step,) = steps(run)
    told = printed.splitlines()
    assert told[-1] == f"wavemill: stopped after {step} steps; the same command goes on"
    assert "Traceback" not in printed
    assert "starting Ray" not in printed  # one worker here needs none
    again = train(corpus, run, *LONG, "--set", f"loop.stop_after_steps={step + 1}")
    assert f"resuming at step {step}\n" in again
    assert not stopping.asked(run)


def test_workers_on_ray_stop_behind_the_same_step(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("ray.train")
    run = tmp_path / "run"
    with training(corpus, run, *LONG, "--workers", "2") as process:
        learnt_something(process, run)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, printed
    assert printed.startswith("starting Ray\n")
    (step,) = steps(run)
    assert printed.splitlines()[-1].endswith(f"after {step} steps; the same command goes on")


def test_a_finished_run_says_so_and_is_left_alone(
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    assert "trained" in train(corpus, run, "--set", "tokens=300")
    (step,) = steps(run)
    weights = run / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    printed = train(corpus, run, "--set", "tokens=300", "--workers", "2")
    assert printed == f"already finished at step {step}; the model is in {run / 'model'}\n"
    assert weights.stat().st_mtime_ns == before


@pytest.mark.parametrize("lost", ["model", "outcome.json"])
def test_a_model_that_was_not_written_whole_is_written_again(
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    lost: str,
) -> None:
    run = tmp_path / "run"
    train(corpus, run, "--set", "tokens=300")
    whole = load_file(run / "model" / "model.safetensors")
    (run / lost).rename(tmp_path / lost)
    if lost == "outcome.json":
        (run / lost).write_text('{"step":', encoding="utf-8")
    assert "the model is in" in train(corpus, run, "--set", "tokens=300")
    again = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_a_loop_that_is_asked_to_stop_ends_in_the_same_weights(tmp_path: Path) -> None:
    _, whole = learn(tmp_path / "whole")
    run = tmp_path / "stopped"
    run.mkdir()
    stopping.ask(run)
    outcome, _ = learn(run)
    assert (outcome.step, outcome.complete) == (1, False)
    assert steps(run) == [1]
    stopping.forget(run)
    outcome, resumed = learn(run)
    assert outcome.complete
    for name, tensor in whole.one.state_dict().items():
        assert torch.equal(tensor, resumed.one.state_dict()[name])
