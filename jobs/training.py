"""What all `wavemill train` commands share: options, and running a training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wavemill.jobs import places
from wavemill.jobs.entry import Stopped, stopping
from wavemill.jobs.plain import Terminal, print_note

if TYPE_CHECKING:
    from wavemill.model.train.loop import Job
    from wavemill.pipeline.training_launch import Launch


Corpus = Annotated[
    str,
    typer.Option(
        parser=places.place,
        metavar="WORKDIR",
        help="WORKDIR that curate has built, or a snapshot of one (WORKDIR/snapshots/000007), "
        "which stays what it is while the corpus is refreshed. A folder or a URL.",
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--config",
        "-c",
        parser=places.named,
        metavar="NAME",
        help="tiny: two CPU cores; small: one GPU; paper: the report's numbers; or a YAML file "
        "with the fields that differ from the recipe that its field `base` names (tiny).",
    ),
]
Run = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        parser=places.folder,
        metavar="RUN",
        help="Folder of the run: checkpoints, metrics, RUN/model.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="One field of the recipe, e.g. --set loop.optimizer.learning_rate=1e-3. Repeatable.",
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(
        parser=places.path,
        metavar="FOLDER",
        help="Model folder to begin with; without, the recipe's network, random.",
    ),
]
Semantic = Annotated[
    Path | None,
    typer.Option(
        parser=places.path,
        metavar="PATH",
        help="Semantic tokenizer that the corpus was made with: a folder, or a k-means codebook "
        "(.npz). Needed where it is neither the shipped one nor in --init.",
    ),
]
Workers = Annotated[int, typer.Option(help="Number of worker processes.", min=1)]
Gpu = Annotated[
    bool | None,
    typer.Option("--gpu/--cpu", help="A GPU for each worker (default: if there is one)."),
]
Executor = Annotated[
    str | None,
    typer.Option(
        help="ray: workers on this machine or a cluster; inline: in this process. [default: inline "
        "for one worker on this machine, ray for more]",
        show_default=False,
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on, for example auto or ray://head:10001.")
]


def run_training(job: Job, launch: Launch, unit: Literal["tokens", "s"] = "tokens") -> None:
    """Train, show the progress, and print the result.

    `unit` says how to print the learner's units: as tokens, or milliseconds of audio as seconds.
    Raises ConfigError for what a person can mend, WorkdirBusy if another training has the folder,
    and Stopped after a signal.
    """
    from wavemill.jobs.training_progress import following
    from wavemill.model.data.source import DataError
    from wavemill.model.train import stopping as stop
    from wavemill.model.train.checkpoint import RunChanged
    from wavemill.model.train.loop import MODEL, run_status
    from wavemill.model.train.on_ray import TrainingFailed
    from wavemill.model.train.step import NotFinite
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.lock import locked
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.training_launch import check_launch, launch_training

    console = Terminal(stderr=True)
    check_launch(job, launch)
    try:
        # Two at once would write over each other's checkpoints.
        with locked(Store.open(job.run), "wavemill train", partial(print_note, console)):
            standing = run_status(job)
            if standing.finished:
                typer.echo(
                    f"already finished at step {standing.step}; the model is in {job.run / MODEL}"
                )
                return
            if standing.step:
                _say(console, f"resuming at step {standing.step}")
            stop.forget(job.run)
            asked = _Asked(console, job.run)
            with following(console, job.run, unit), stopping(asked):
                outcome = launch_training(job, launch, partial(_say, console), asked.end_now)
            stop.forget(job.run)
    except (DataError, NotFinite, RunChanged, TrainingFailed) as error:
        raise ConfigError(str(error)) from None
    for reason, count in sorted(outcome.problems.items()):
        _say(console, f"skipped: {count} {reason}")
    told = f"stopped after {outcome.step} steps; the same command goes on"
    if outcome.complete:
        typer.echo(f"trained {outcome.step} steps; the model is in {job.run / MODEL}")
    elif asked.by is not None:
        raise Stopped(asked.by, told)
    else:
        typer.echo(told)


def _say(console: Terminal, text: str) -> None:
    console.print(text, soft_wrap=True)


@dataclass
class _Asked:
    """Handles signals: the first asks for an end after the step, a second one ends at once."""

    console: Terminal
    run: Path
    by: int | None = None  # signal that came

    def __call__(self, number: int, _frame: Any) -> None:
        from wavemill.model.train import stopping as stop

        if self.by is not None:
            raise Stopped(number)
        self.by = number
        stop.ask(self.run)
        _say(self.console, "stopping behind this step, with a checkpoint; once more: at once")

    def end_now(self) -> None:
        """Raise Stopped if a signal came while Ray started, which must not be interrupted."""
        if self.by is not None:
            raise Stopped(self.by)
