"""Training: learns, resumes exactly, and its command ends with a checkpoint and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from tests.model.bsrnn.made import audio_folders, noise, small_mixer, small_settings
from wavemill.model.bsrnn.checkpoint import load_checkpoint
from wavemill.model.bsrnn.quality import si_sdr
from wavemill.model.bsrnn.train import train
from wavemill.model.bsrnn.training import StateError, Trainer


def test_si_sdr() -> None:
    target, other = noise(48_000), noise(48_000, seed=2)
    assert si_sdr(target + 0.1 * other, target) == pytest.approx(20, abs=0.1)
    assert si_sdr(7 * target + 0.7 * other, target) == pytest.approx(20, abs=0.1)


def test_steps_reduce_the_loss_of_a_batch(tmp_path: Path) -> None:
    mixer, trainer = small_mixer(tmp_path), Trainer.start(small_settings(), "cpu")
    noisy, target = trainer.batch(mixer)
    losses = [trainer.learn(noisy, target) for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_digital_silence_teaches_no_nonsense() -> None:
    trainer = Trainer.start(small_settings(), "cpu")
    trainer.learn(torch.zeros(2, 4800), torch.zeros(2, 4800))
    assert all(weight.isfinite().all() for weight in trainer.network.parameters())


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    mixer, settings = small_mixer(tmp_path), small_settings()
    unbroken = Trainer.start(settings, "cpu")
    for _ in range(4):
        unbroken.learn(*unbroken.batch(mixer))
    broken = Trainer.start(settings, "cpu")
    for _ in range(2):
        broken.learn(*broken.batch(mixer))
    broken.save(tmp_path / "run")
    resumed = Trainer.resume(tmp_path / "run", settings, "cpu")
    while resumed.step < 4:
        resumed.learn(*resumed.batch(mixer))
    for name, weight in unbroken.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weight, rtol=0, atol=0)


def test_other_settings_do_not_resume(tmp_path: Path) -> None:
    settings = small_settings()
    Trainer.start(settings, "cpu").save(tmp_path)
    other = settings.model_copy(update={"batch": 3, "magnitude_weight": 0.0})
    with pytest.raises(StateError, match="another batch, magnitude_weight;"):
        Trainer.resume(tmp_path, other, "cpu")
    (tmp_path / "training.safetensors").write_bytes(b"broken")
    with pytest.raises(StateError, match="cannot resume"):
        Trainer.resume(tmp_path, settings, "cpu")


def invoke(root: Path, steps: int, *more: str) -> str:
    folders = {name: root / name for name in ("clean", "noise", "rooms")}
    (root / "settings.json").write_text(small_settings().model_dump_json())
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
