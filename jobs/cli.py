"""The `wavemill` command."""

from __future__ import annotations

from typing import Annotated

import typer

from wavemill.jobs import version
from wavemill.jobs.benchmark import benchmark_app
from wavemill.jobs.curate import curate
from wavemill.jobs.dashboard import dashboard
from wavemill.jobs.entry import run_app
from wavemill.jobs.evaluate import evaluate
from wavemill.jobs.gc import gc
from wavemill.jobs.generate import generate
from wavemill.jobs.inspection import config_app, schema
from wavemill.jobs.leaderboard import leaderboard
from wavemill.jobs.models import model_app
from wavemill.jobs.perplexity import perplexity
from wavemill.jobs.plan import plan
from wavemill.jobs.refresh import refresh
from wavemill.jobs.report import report
from wavemill.jobs.resynthesise import resynthesise
from wavemill.jobs.show import show
from wavemill.jobs.snapshots import diff, snapshots
from wavemill.jobs.train import train_app
from wavemill.jobs.transcribe import transcribe
from wavemill.jobs.verify import verify
from wavemill.jobs.withdraw import withdraw

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
