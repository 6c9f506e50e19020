"""The `wavemill` command."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs import version
from jobs.benchmark import benchmark_app
from jobs.curate import curate
from jobs.dashboard import dashboard
from jobs.entry import run_app
from jobs.evaluate import evaluate
from jobs.gc import gc
from jobs.generate import generate
from jobs.inspection import config_app, schema
from jobs.leaderboard import leaderboard
from jobs.models import model_app
from jobs.perplexity import perplexity
from jobs.plan import plan
from jobs.refresh import refresh
from jobs.report import report
from jobs.resynthesise import resynthesise
from jobs.show import show
from jobs.snapshots import diff, snapshots
from jobs.train import train_app
from jobs.transcribe import transcribe
from jobs.verify import verify
from jobs.withdraw import withdraw

app = typer.Typer(
    help="Raw recordings in, Parquet corpora for audio language models out.\n\n"
    "First steps: wavemill curate recordings/ --out work, then read "
    "work/corpus/pretrain/*.parquet. wavemill plan shows beforehand what would be done.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(curate)
app.command()(plan)
app.command()(refresh)
app.command()(withdraw)
app.command()(snapshots)
app.command()(diff)
app.command()(gc)
app.command()(verify)
app.command()(report)
app.command()(dashboard)
app.command()(show)
app.command()(schema)
app.add_typer(config_app, name="config")
app.command()(generate)
app.command()(transcribe)
app.add_typer(model_app, name="model")
app.add_typer(train_app, name="train")
app.command()(perplexity)
app.command()(resynthesise)
app.command()(evaluate)
app.command()(leaderboard)
app.add_typer(benchmark_app, name="benchmark")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wavemill {version()}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    run_app(app)


if __name__ == "__main__":
    main()
