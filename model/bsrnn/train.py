"""Train a Band-Split RNN on mixtures made on the fly; see its `--help`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from wavemill.model.bsrnn.clips import find_clips, split_clips
from wavemill.model.bsrnn.mixing import Mixer
from wavemill.model.bsrnn.quality import conditions, measure
from wavemill.model.bsrnn.training import (
    STATE_FILE,
    TRAIN_PRESETS,
    StateError,
    Trainer,
    TrainSettings,
)

HELD_OUT_SECONDS = 4.0  # length of a held-out mixture
LOG_SECONDS = 20.0  # between lines about the loss


@dataclass(frozen=True)
class Limits:
    """When to stop, and how often to save."""

    minutes: float
    steps: float
    save_minutes: float


def mixers(
    clean: list[Path],
    noise: list[Path],
    rooms: list[Path],
    held_out: list[str],
    settings: TrainSettings,
) -> tuple[Mixer, Mixer]:
    """Return the mixer to train with and the one of held-out speech, noise and rooms.

    A folder of rooms of which none is held out serves both. Raises ValueError when either side
    has no speech or no noise.
    """
    kinds = {"clean speech": clean, "noise": noise, "rooms": rooms}
    sides = {kind: split_clips(find_clips(roots), held_out) for kind, roots in kinds.items()}
    for kind in ("clean speech", "noise"):
        for side, name in zip(sides[kind], ("left to train on", "held out"), strict=True):
            if not side.clips:
                raise ValueError(f"no {kind} is {name}; --held-out takes file name patterns")
    seen_rooms, unseen_rooms = sides["rooms"]
    unseen = settings.mix.model_copy(update={"seconds": HELD_OUT_SECONDS, "equalise_db": 0.0})
    return (
        Mixer(sides["clean speech"][0], sides["noise"][0], seen_rooms, settings.mix),
        Mixer(
            sides["clean speech"][1],
            sides["noise"][1],
            unseen_rooms if unseen_rooms.clips else seen_rooms,
            unseen.model_copy(update={"noises": 1}),
        ),
    )


def run_training(trainer: Trainer, mixer: Mixer, limits: Limits, out: Path) -> None:
    """Train until a limit is reached, saving now and then and at the end."""
    began = logged = saved = time.monotonic()
    losses: list[float] = []
    while trainer.step < limits.steps and time.monotonic() - began < 60 * limits.minutes:
        losses.append(trainer.learn(*trainer.batch(mixer)))
        now = time.monotonic()
        if now - logged >= LOG_SECONDS:
            mean = sum(losses) / len(losses)
            typer.echo(f"{now - began:5.0f} s  step {trainer.step}  loss {mean:.4f}")
            logged, losses = now, []
        if now - saved >= 60 * limits.save_minutes:
            trainer.save(out)
            saved = now
    trainer.save(out)


def train(
    clean: Annotated[list[Path], typer.Option(help="Folder or file of clean speech; repeatable.")],
    noise: Annotated[list[Path], typer.Option(help="Folder or file of noise; repeatable.")],
    held_out: Annotated[
        list[str], typer.Option(help="File name pattern kept for measuring; repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint folder; resumed when it has a state.")],
    rooms: Annotated[list[Path] | None, typer.Option(help="Folder of impulse responses.")] = None,
    config: Annotated[str, typer.Option(help="tiny, paper, or a JSON file of settings.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of weights and mixtures.", min=0)] = 0,
    minutes: Annotated[float, typer.Option(help="Stop after so long.")] = math.inf,
    steps: Annotated[float, typer.Option(help="Stop at this step.")] = math.inf,
    save_minutes: Annotated[float, typer.Option(help="Save this often.")] = 10.0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    mixtures: Annotated[int, typer.Option(help="Held-out mixtures per condition.", min=1)] = 20,
    snr: Annotated[tuple[float, float, float], typer.Option(help="Measured at, dB.")] = (0, 5, 10),
) -> None:
    """Train until --minutes or --steps, then print SI-SDR on held-out mixtures."""
    if math.isinf(minutes) and math.isinf(steps):
        raise typer.BadParameter("give --minutes or --steps")
    torch.set_num_threads(1)
    try:
        settings = _settings(config).model_copy(update={"seed": seed})
        seen, unseen = mixers(clean, noise, rooms or [], held_out, settings)
        resumed = (out / STATE_FILE).is_file()
        trainer = (Trainer.resume if resumed else _started)(out, settings, device)
    except (ValueError, StateError) as error:
        raise typer.BadParameter(str(error)) from None
    size = sum(p.numel() for p in trainer.network.parameters())
    typer.echo(f"{'resumed' if resumed else 'started'} at step {trainer.step}, {size} parameters")
    run_training(trainer, seen, Limits(minutes, steps, save_minutes), out)
    typer.echo(f"saved step {trainer.step} to {out}; held-out mixtures:")
    for condition in conditions(unseen, seed, snr, mixtures):
        typer.echo(f"  {measure(trainer.network, condition)}")


def _started(_: Path, settings: TrainSettings, device: str) -> Trainer:
    return Trainer.start(settings, device)


def _settings(config: str) -> TrainSettings:
    if config in TRAIN_PRESETS:
        return TRAIN_PRESETS[config]
    if not Path(config).is_file():
        raise ValueError(f"--config: no file {config}, and none of {', '.join(TRAIN_PRESETS)}")
    return TrainSettings.model_validate_json(Path(config).read_bytes())


if __name__ == "__main__":
    typer.run(train)
