"""wavemill curate SOURCE... --out WORKDIR: recordings in, Parquet corpus out.

For `ray job submit`: python -m wavemill.jobs.curate SOURCE... --out WORKDIR --address auto
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wavemill.jobs import options
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.curation import Config


def curate(
    sources: options.Sources,
    out: options.Out,
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    executor: options.Executor = None,
    workers: options.Workers = None,
    address: options.Address = None,
    strict: options.Strict = False,
    truth: options.Truth = None,
    retry_failed: options.RetryFailed = False,
    profile_run: options.ProfileRun = False,
) -> None:
    """Turn recordings into a Parquet pre-training corpus.

    Runs decode, denoise, diarize, transcribe, filter, store_audio and tokenize on everything found
    under the sources, and writes the corpus to OUT/corpus/pretrain/*.parquet. Run it again after
    a crash, with more audio or with other settings: it computes only what is missing.

    Example: wavemill curate recordings/ podcasts.jsonl --out work
    """
    run = options.RunOptions(executor, workers, address)
    settings = options.resolve_config(profile, config, overrides, run)
    command = "wavemill curate"
    run_build(sources, out, settings, command, strict, truth, retry_failed, profile_run)


def run_build(
    sources: Sequence[str],
    out: str,
    settings: Config,
    command: str,
    strict: bool = False,
    truth: Path | None = None,
    retry_failed: bool = False,
    profile_run: bool = False,
) -> None:
    """Build and publish the corpus, and print what came of it.

    Raises what `build_corpus` raises. Leaves with exit code 1 if a shard was given up, if nothing
    of the sources could be used, or (`strict`) for any error.
    """
    from wavemill.jobs.progress import Shown
    from wavemill.jobs.summary import print_speed, print_stage_times, print_summary
    from wavemill.jobs.truth import print_truth
    from wavemill.pipeline.build import ShardsGivenUp, build_corpus
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.truth import load_truth

    console = Terminal()
    if truth is not None:
        load_truth(truth)  # a wrong folder is better known before the work than after it
    try:
        built = build_corpus(sources, out, settings, command, Shown(console), retry_failed)
    except ShardsGivenUp as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from None
    store, summary = Store.open(out), built.summary
    print_summary(console, store, built.snapshot, summary)
    if built.computed and summary.ms_built:
        print_speed(console, summary.ms_built, built.seconds)
    elif not built.computed:
        console.print("nothing to do: everything was there already")
    if built.computed and profile_run:
        print_stage_times(console, built.stages)
    if truth is not None:
        print_truth(console, store, built.snapshot, truth)
    unused = not summary.used and not summary.conversations
    if summary.errors and unused:
        console.print("nothing of the sources could be used; the errors say why", style="red")
    if summary.errors and (strict or unused):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(curate)
