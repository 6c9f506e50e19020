"""wavemill curate SOURCE... --out WORKDIR: recordings in, Parquet corpus out.

For `ray job submit`: python -m jobs.curate SOURCE... --out WORKDIR --address auto
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs import options
from jobs.build import Build, execute, prepare, publish
from jobs.entry import run_command
from jobs.progress import build_progress, scan_progress
from jobs.summary import print_speed, print_summary
from jobs.truth import load_truth, print_truth
from pipeline.execution.events import ShardFailed
from pipeline.summary import summarise


def curate(
    sources: options.Sources,
    out: options.Out,
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    executor: options.Executor = None,
    workers: options.Workers = None,
    address: options.Address = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any recording was quarantined.")
    ] = False,
    truth: Annotated[
        Path | None,
        typer.Option(help="Folder with reference.rttm and transcripts.jsonl to score against."),
    ] = None,
) -> None:
    """Turn recordings into a Parquet pre-training corpus.

    Runs denoise, diarize, transcribe, filter and tokenize on everything found under the
    sources, and leaves the corpus in OUT/corpus/pretrain/*.parquet. Run it again after a crash,
    with more audio or with other settings: only what is missing is computed.

    Example: wavemill curate recordings/ podcasts.jsonl --out work
    """
    console = Console()
    run = options.RunOptions(executor, workers, address)
    settings = options.resolve_config(profile, config, overrides, run)
    if truth is not None:
        load_truth(truth)  # a wrong folder is better known before the work than after it
    with scan_progress(console) as progress:
        build = prepare(sources, out, settings, progress)
    for note in build.sources.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    audio_ms = sum(shard.shard.duration_ms for shard in build.plan.unfinished)
    started = time.perf_counter()
    _run(console, build)
    snapshot = publish(build)
    summary = summarise(build.store, snapshot)
    print_summary(console, build.store, snapshot, summary)
    print_speed(console, audio_ms, time.perf_counter() - started)
    if truth is not None:
        print_truth(console, build.store, snapshot, truth)
    if strict and summary.errors:
        raise typer.Exit(1)


def _run(console: Console, build: Build) -> None:
    """Do the work. Leaves with exit code 1, and no new snapshot, if a shard was given up."""
    failures = 0
    with build_progress(console, build.plan) as listen:
        for event in execute(build):
            listen(event)
            failures += isinstance(event, ShardFailed)
    if failures:
        console.print(
            f"{failures} shards were given up, so the corpus stays as it was. "
            "The same command goes on with them.",
            style="red",
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(curate)
