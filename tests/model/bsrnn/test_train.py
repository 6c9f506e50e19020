"""Training: learns, resumes exactly, and its command ends with a checkpoint and figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from tests.model.bsrnn.made import audio_folders, noise, small_mixer, small_settings
from wavemill.model.bsrnn.checkpoint import load_checkpoint
from wavemill.model.bsrnn.learner import BsrnnLearner, Mixtures, NoisyBatch, TrainSettings
from wavemill.model.bsrnn.mixing import Mixer
from wavemill.model.bsrnn.network import Bsrnn
from wavemill.model.bsrnn.quality import si_sdr
from wavemill.model.bsrnn.train import Limits, run_training, train, training
from wavemill.model.data.source import Share
from wavemill.model.train.learner import Progress
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.step import Stepper, learning_rate


def test_si_sdr() -> None:
    target, other = noise(48_000), noise(48_000, seed=2)
    assert si_sdr(target + 0.1 * other, target) == pytest.approx(20, abs=0.1)
    assert si_sdr(7 * target + 0.7 * other, target) == pytest.approx(20, abs=0.1)


def trained(root: Path, steps: int, mixer: Mixer, settings: TrainSettings) -> Bsrnn:
    """Train up to a step, from where the folder stands; return the network."""
    limits = Limits(math.inf, steps, 10.0)
    made = training(settings, mixer, limits, root, "cpu")
    assert run_training(made, math.inf).step == steps
    assert isinstance(made.learner, BsrnnLearner)
    return made.learner.network


def test_steps_reduce_the_loss_of_a_batch(tmp_path: Path) -> None:
    mixer, settings = small_mixer(tmp_path), small_settings()
    batch = next(Mixtures(mixer, settings))
    assert (batch.units, batch.noisy.shape, batch.target.shape) == (500, (2, 12_000), (2, 12_000))
    learner = BsrnnLearner(settings)
    stepper = Stepper(learner, settings.loop(), Ranks())
    losses = []
    for step in range(15):
        stepper([batch], Progress(step, 500 * step, 7500))
        losses.append(stepper.means.taken(Ranks())["loss"])
    assert losses[-1] < 0.8 * losses[0]


def test_digital_silence_teaches_no_nonsense() -> None:
    learner, silence = BsrnnLearner(small_settings()), torch.zeros(2, 4800)
    stepper = Stepper(learner, small_settings().loop(), Ranks())
    stepper([NoisyBatch(("silence",), 200, silence, silence)], Progress(0, 0, 200))
    assert all(weight.isfinite().all() for weight in learner.network.parameters())


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    mixer, settings = small_mixer(tmp_path), small_settings()
    unbroken = trained(tmp_path / "unbroken", 4, mixer, settings)
    trained(tmp_path / "run", 2, mixer, settings)
    resumed = trained(tmp_path / "run", 4, mixer, settings)
    for name, weight in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weight, rtol=0, atol=0)


def test_the_rate_halves() -> None:
    loop = small_settings().loop()
    rates = [learning_rate(loop.optimizer, Progress(step, 0, 1), 500) for step in (0, 1000, 3000)]
    assert rates == pytest.approx([1e-2, 5e-3, 1.25e-3])


def test_workers_share_the_mixtures(tmp_path: Path) -> None:
    mixer, settings = small_mixer(tmp_path), small_settings()
    alone = Mixtures(mixer, settings)
    second = Mixtures(mixer, settings, Share(1, 2))
    batches = [next(alone) for _ in range(4)]
    for number in (1, 3):
        assert torch.equal(next(second).noisy, batches[number].noisy)
    alone.restore({"next": 1})
    assert torch.equal(next(alone).noisy, batches[1].noisy)
    assert alone.state() == {"next": 2}


def test_other_settings_do_not_resume(tmp_path: Path) -> None:
    audio_folders(tmp_path)
    invoke(tmp_path, 1, "--held-out=*_b.wav")
    for field, value in (("batch", 3), ("magnitude_weight", 0.0)):
        other = small_settings().model_copy(update={field: value})
        found = invoke(tmp_path, 2, "--held-out=*_b.wav", settings=other)
        assert found.startswith("2 ")
        assert f"begun with another settings.{field} (" in unboxed(found)
    (newest,) = (tmp_path / "run" / "checkpoints").iterdir()
    (newest / "state.json").write_text("broken", encoding="utf-8")
    assert "remedy: delete" in unboxed(invoke(tmp_path, 2, "--held-out=*_b.wav"))
    (tmp_path / "run" / "training.safetensors").write_bytes(b"of an earlier version")
    found = unboxed(invoke(tmp_path, 2, "--held-out=*_b.wav"))
    assert "is of an earlier version, whose trainings cannot be continued" in found


def unboxed(text: str) -> str:
    """Undo the box and the line breaks around an error message."""
    return " ".join(text.replace("\u2502", " ").split())


def test_time_is_a_limit_too(tmp_path: Path) -> None:
    mixer, settings = small_mixer(tmp_path), small_settings()
    made = training(settings, mixer, Limits(0.0, math.inf, 10.0), tmp_path / "run", "cpu")
    outcome = run_training(made, 0.0)
    assert not outcome.complete
    assert load_checkpoint(tmp_path / "run").config == settings.network


def invoke(root: Path, steps: int, *more: str, settings: TrainSettings | None = None) -> str:
    folders = {name: root / name for name in ("clean", "noise", "rooms")}
    (root / "settings.json").write_text(
        (settings or small_settings()).model_dump_json(), encoding="utf-8"
    )
    arguments = [f"--{name}={folder}" for name, folder in folders.items()]
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(train)
    command = [*arguments, f"--out={root / 'run'}", f"--config={root / 'settings.json'}"]
    result = CliRunner().invoke(app, [*command, f"--steps={steps}", "--mixtures=1", *more])
    return f"{result.exit_code} {' '.join(result.output.split())}"


def test_the_command(tmp_path: Path) -> None:
    audio_folders(tmp_path)
    first = invoke(tmp_path, 2, "--held-out=*_b.wav")
    assert first.startswith("0 started at step 0")
    assert "saved step 2" in first
    for condition in ("0 dB:", "5 dB:", "10 dB:", "0 dB, room:", "10 dB, room:"):
        assert condition in first
    assert invoke(tmp_path, 3, "--held-out=*_b.wav").startswith("0 resumed at step 2")
    audio = torch.from_numpy(noise(4800))[None]
    assert np.isfinite(load_checkpoint(tmp_path / "run")(audio).detach().numpy()).all()


def test_the_command_needs_something_held_out(tmp_path: Path) -> None:
    audio_folders(tmp_path)
    assert "no noise is held out" in invoke(tmp_path, 1, "--held-out=voice_b.wav")
    assert "no clean speech is left to train on" in invoke(tmp_path, 1, "--held-out=*")
