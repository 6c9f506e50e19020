"""The `wavemill` command."""

from __future__ import annotations

from typing import Annotated

import typer

from wavemill.jobs.entry import run_app
from wavemill.jobs.lazy import MARKUP, Place, lazy_group

# Modules of commands are imported when the command is called. A test compares these lines with
# the commands' docstrings.
COMMANDS = {
    "curate": Place("curate", "curate", "Turn recordings into a Parquet pre-training corpus."),
    "plan": Place(
        "plan",
        "plan",
        "Show which stages of which shards are done and which are to do.",
    ),
    "refresh": Place(
        "refresh",
        "refresh",
        "Bring the corpus up to date: curate again, with the sources and settings of the last "
        "time.",
    ),
    "withdraw": Place(
        "withdraw",
        "withdraw",
        "Take recordings out of every corpus and keep them out, even if their files stay.",
    ),
    "snapshots": Place("snapshots", "snapshots", "List the snapshots of the corpus, oldest first."),
    "diff": Place(
        "snapshots",
        "diff",
        "Print what changed between two snapshots: recordings, segments by rule, configuration.",
    ),
    "gc": Place(
        "gc",
        "gc",
        "Remove older snapshots, and the stage outputs that no kept snapshot was made from.",
    ),
    "verify": Place(
        "verify",
        "verify",
        "Check all files of the snapshots and stages against their recorded sizes and hashes.",
    ),
    "report": Place(
        "report",
        "report",
        "Write WORKDIR/quality.duckdb and report/index.html; print what became of every hour of "
        "input.",
    ),
    "dashboard": Place(
        "dashboard",
        "dashboard",
        "Serve the quality page with live figures: all segments, with search, filters and audio.",
    ),
    "show": Place(
        "show",
        "show",
        "Print one recording: who speaks when, what is said, what is kept and what is not, and "
        "why.",
    ),
    "export": Place(
        "export",
        "export",
        "Write conversations of a corpus in a format that other projects train on.",
    ),
    "voices": Place(
        "voices",
        "voices",
        "Choose voices to speak in from a corpus: short clean recordings of one speaker each.",
    ),
    "schema": Place(
        "inspection",
        "schema",
        "Print the columns of every table with their types and meanings.",
    ),
    "config": Place("inspection", "config_app", "Look at configurations."),
    "weights": Place(
        "weights",
        "weights_app",
        "List, check or fetch the weights that a profile's engines need.",
    ),
    "generate": Place(
        "generate",
        "generate",
        "Print a model's reply while it is generated, and write its speech to a file.",
    ),
    "convert": Place(
        "convert",
        "convert",
        "Say what a recording says in the voice of another one.",
    ),
    "transcribe": Place(
        "transcribe",
        "transcribe",
        "Print the transcript of each recording: a line each, the file first.",
    ),
    "serve": Place(
        "serve",
        "serve",
        "Talk with a model in real time, with the clients that people already have.",
    ),
    "model": Place("models", "model_app", "Make a model folder, or look into one."),
    "train": Place(
        "train",
        "train_app",
        "Train on the corpora of a WORKDIR. The same command continues a run that was stopped.",
    ),
    "perplexity": Place(
        "perplexity",
        "perplexity",
        "Print the perplexity of text ids and of audio codes, by task.",
    ),
    "resynthesise": Place(
        "resynthesise",
        "resynthesise",
        "Synthesise recordings again, and print how similar and how clear the result is, as "
        "Markdown.",
    ),
    "evaluate": Place(
        "evaluate",
        "evaluate",
        "Ask a model about every item of a benchmark, and score what it answers.",
    ),
    "leaderboard": Place(
        "leaderboard",
        "leaderboard",
        "Show every scored run below DIR beside the scores that the technical report published.",
    ),
    "benchmark": Place(
        "benchmark",
        "benchmark_app",
        "List benchmarks, show what each asks, and turn your downloads into items.",
    ),
}
app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help="Raw recordings in, Parquet corpora for audio language models out.\n\n"
    "First steps: wavemill curate recordings/ --out work, then read "
    "work/corpus/pretrain/*.parquet. wavemill plan shows beforehand what would be done.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from wavemill.pipeline.version import version

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
