"""wavemill curate SOURCE... --out WORKDIR: recordings in, Parquet corpus out.

For `ray job submit`: python -m wavemill.jobs.curate SOURCE... --out WORKDIR --address auto
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer

from wavemill.jobs import options, version
from wavemill.jobs.build import Build, check_engines, execute, prepare, publish
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal
from wavemill.jobs.progress import build_progress, scan_progress
from wavemill.jobs.summary import print_speed, print_summary
from wavemill.jobs.truth import load_truth, print_truth
from wavemill.pipeline.curation import Config
from wavemill.pipeline.execution.events import ShardFailed
from wavemill.pipeline.lock import Held, locked
from wavemill.pipeline.request import remember
from wavemill.pipeline.snapshots import point_corpus_at_newest
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import summarise
from wavemill.pipeline.upkeep.purge import finish_purge


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
) -> None:
    """Turn recordings into a Parquet pre-training corpus.

    Runs denoise, diarize, transcribe, filter, store_audio and tokenize on everything found
    under the sources, and leaves the corpus in OUT/corpus/pretrain/*.parquet. Run it again after
    a crash, with more audio or with other settings: only what is missing is computed.

    Example: wavemill curate recordings/ podcasts.jsonl --out work
    """
    run = options.RunOptions(executor, workers, address)
    settings = options.resolve_config(profile, config, overrides, run)
    build_corpus(sources, out, settings, "wavemill curate", strict, truth, retry_failed)


def build_corpus(
    sources: Sequence[str],
    out: str,
    settings: Config,
    command: str,
    strict: bool = False,
    truth: Path | None = None,
    retry_failed: bool = False,
) -> None:
    """Build and publish the corpus, and tell a person what came of it.

    Raises what `prepare` raises, EngineUnavailable, and WorkdirBusy while another run has the
    WORKDIR. Leaves with exit code 1 if a shard was given up, if nothing of the sources could
    be used, or (`strict`) for any error.
    """
    console = Terminal()
    if truth is not None:
        load_truth(truth)  # a wrong folder is better known before the work than after it
    store = Store.open(out)
    with hold(console, store, command) as held:
        with scan_progress(console) as progress:
            build = prepare(sources, out, settings, progress, retry_failed)
        for note in build.sources.notes:
            console.print(f"note: {note}", soft_wrap=True)
        check_engines(build.plan)
        remember(store, sources, settings.model_dump(mode="json"), version())
        pending = build.plan.pending_recordings()
        started = time.perf_counter()
        _run(console, build, held)
        held.confirm()
        snapshot = publish(build)
    summary = summarise(store, snapshot, pending)
    print_summary(console, store, snapshot, summary)
    if pending.num_rows:
        print_speed(console, summary.ms_built, time.perf_counter() - started)
    else:
        console.print("nothing to do: everything was there already")
    if truth is not None:
        print_truth(console, store, snapshot, truth)
    if summary.errors and not summary.used:
        console.print("nothing of the sources could be used; the errors say why", style="red")
    if summary.errors and (strict or not summary.used):
        raise typer.Exit(1)


@contextmanager
def hold(console: Terminal, store: Store, command: str, finishing: bool = True) -> Iterator[Held]:
    """Hold the WORKDIR's lock, and say so if it was a dead run's. Raises WorkdirBusy.

    With `finishing`, `finish_interrupted` is done first.
    """
    with locked(store, command) as held:
        if held.taken_from is not None:
            console.print(
                f"note: took over the lock of a run that has died: {held.taken_from}",
                soft_wrap=True,
            )
        if finishing:
            finish_interrupted(console, store)
        yield held


def finish_interrupted(console: Terminal, store: Store) -> None:
    """Finish what a run that died had begun to publish, or to purge."""
    point_corpus_at_newest(store)
    if finish_purge(store, datetime.now(UTC).isoformat(timespec="seconds")):
        console.print("note: finished a purge that had been interrupted")


def _run(console: Terminal, build: Build, held: Held) -> None:
    """Do the work. Leaves with exit code 1, and no new snapshot, if a shard was given up."""
    failures = 0
    with build_progress(console, build.plan) as listen:
        for event in execute(build):
            held.check()
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
