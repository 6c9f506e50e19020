"""Train a Band-Split RNN on mixtures made on the fly; see its `--help`."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from wavemill.model.bsrnn.clips import find_clips, split_clips
from wavemill.model.bsrnn.learner import (
    TRAIN_PRESETS,
    BsrnnLearner,
    Mixtures,
    NoisyBatch,
    TrainSettings,
)
from wavemill.model.bsrnn.mixing import Mixer
from wavemill.model.bsrnn.quality import conditions, measure
from wavemill.model.data.source import Prefetched
from wavemill.model.io.folders import WeightsError
from wavemill.model.train import stopping
from wavemill.model.train.checkpoint import RunChanged, last_checkpoint
from wavemill.model.train.loop import Outcome, Training
from wavemill.model.train.metrics import FILE as METRICS
from wavemill.model.train.ranks import Ranks

HELD_OUT_SECONDS = 4.0  # length of a held-out mixture
LOG_SECONDS = 20.0  # between lines about the loss
ENDLESS = 1 << 40  # steps, where only the time is limited
EARLIER_STATE = "training.safetensors"  # which trainings had before they used the common loop


@dataclass(frozen=True)
class Limits:
    """When to stop, and how often to save."""

    minutes: float
    steps: float
    save_minutes: float

    def units(self, settings: TrainSettings) -> int:
        """Return the milliseconds of audio of the whole training."""
        steps = ENDLESS if math.isinf(self.steps) else math.ceil(self.steps)
        return steps * settings.step_units


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


def training(
    settings: TrainSettings, mixer: Mixer, limits: Limits, out: Path, device: str
) -> Training[NoisyBatch]:
    """Return the training in `out`, which goes on from its last checkpoint.

    Raises ValueError where `out` has the state of an earlier version, which cannot be continued.
    """
    if (out / EARLIER_STATE).is_file():
        raise ValueError(
            f"{out / EARLIER_STATE} is of an earlier version, whose trainings cannot be continued; "
            "remedy: another folder, or delete that file to begin anew"
        )
    out.mkdir(parents=True, exist_ok=True)
    return Training(
        BsrnnLearner(settings), Prefetched(Mixtures(mixer, settings)),
        settings.loop(limits.save_minutes), limits.units(settings), out,
        Ranks(device=torch.device(device)), identity_of(settings),
    )  # fmt: skip


def identity_of(settings: TrainSettings) -> dict[str, Any]:
    """Return what must stay the same for a training to be continued, as JSON."""
    return {"training": "bsrnn", "settings": settings.model_dump(mode="json")}


def run_training(training: Training[NoisyBatch], minutes: float) -> Outcome:
    """Train to the end, or until so many minutes are over, and write the model beside the state.

    Raises RunChanged for other settings than the run was begun with, WeightsError for a bad
    checkpoint, and NotFinite.
    """
    stopping.forget(training.run)
    alarm = threading.Timer(min(60 * minutes, threading.TIMEOUT_MAX), stopping.ask, [training.run])
    alarm.daemon = True
    alarm.start()
    try:
        with _following(training.run):
            outcome = training()
    finally:
        alarm.cancel()
        stopping.forget(training.run)
    training.learner.export(training.run)
    return outcome


@contextmanager
def _following(run: Path) -> Iterator[None]:
    """Print how the training goes, every LOG_SECONDS."""
    began, over = time.monotonic(), threading.Event()

    def follow() -> None:
        while not over.wait(LOG_SECONDS):
            text = (run / METRICS).read_text(encoding="utf-8") if (run / METRICS).is_file() else ""
            if lines := [line for line in text.splitlines() if line.endswith("}")]:
                last = json.loads(lines[-1])
                seconds = time.monotonic() - began
                typer.echo(f"{seconds:5.0f} s  step {last['step']}  loss {last['loss']:.4f}")

    thread = threading.Thread(target=follow, daemon=True, name="wavemill-training-log")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def train(
    clean: Annotated[list[Path], typer.Option(help="Folder or file of clean speech; repeatable.")],
    noise: Annotated[list[Path], typer.Option(help="Folder or file of noise; repeatable.")],
    held_out: Annotated[
        list[str], typer.Option(help="File name pattern kept for measuring; repeatable.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the model and the state; resumed when it has one.")
    ],
    rooms: Annotated[list[Path] | None, typer.Option(help="Folder of impulse responses.")] = None,
    config: Annotated[str, typer.Option(help="tiny, paper, or a JSON file of settings.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of weights and mixtures.", min=0)] = 0,
    minutes: Annotated[float, typer.Option(help="Stop after so long.")] = math.inf,
    steps: Annotated[float, typer.Option(help="Stop at this step.")] = math.inf,
    save_minutes: Annotated[float, typer.Option(help="Save the state this often.")] = 10.0,
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
        limits = Limits(minutes, steps, save_minutes)
        made = training(settings, seen, limits, out, device)
        last = last_checkpoint(out, identity_of(settings))
    except (ValueError, WeightsError) as error:
        raise typer.BadParameter(str(error)) from None
    except RunChanged as error:
        what = str(error).partition(";")[0]
        message = f"{what}; remedy: the same settings, or another folder"
        raise typer.BadParameter(message) from None
    assert isinstance(made.learner, BsrnnLearner)
    network = made.learner.network
    size = sum(p.numel() for p in network.parameters())
    begins = "started at step 0" if last is None else f"resumed at step {last[1]['step']}"
    typer.echo(f"{begins}, {size} parameters")
    outcome = run_training(made, minutes)
    typer.echo(f"saved step {outcome.step} to {out}; held-out mixtures:")
    for condition in conditions(unseen, seed, snr, mixtures):
        typer.echo(f"  {measure(network, condition)}")


def _settings(config: str) -> TrainSettings:
    if config in TRAIN_PRESETS:
        return TRAIN_PRESETS[config]
    if not Path(config).is_file():
        raise ValueError(f"--config: no file {config}, and none of {', '.join(TRAIN_PRESETS)}")
    return TrainSettings.model_validate_json(Path(config).read_bytes())


if __name__ == "__main__":
    typer.run(train)
