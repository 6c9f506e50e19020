"""wavemill plan SOURCE... --out WORKDIR: what `curate` would do, without doing it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from jobs import options
from jobs.build import Build, prepare
from jobs.entry import run_command
from jobs.progress import scan_progress
from jobs.summary import hours


def plan(
    sources: options.Sources,
    out: options.Out,
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    executor: options.Executor = None,
    workers: options.Workers = None,
    address: options.Address = None,
) -> None:
    """Show which stages of which shards are done and which are to do.

    Takes the same arguments as curate and computes nothing. The only thing it may write is the
    cache of content hashes in OUT/manifest.

    Example: wavemill plan recordings/ --out work --set filter.raw.min_snr_db=10
    """
    console = Console()
    run = options.RunOptions(executor, workers, address)
    settings = options.resolve_config(profile, config, overrides, run)
    with scan_progress(console) as progress:
        build = prepare(sources, out, settings, progress)
    console.print(_table(build))
    _print_sources(console, build)


def _table(build: Build) -> Table:
    table = Table(title=f"Plan for {build.store.root}", title_justify="left")
    table.add_column("stage")
    table.add_column("engine")
    for name in ("done", "to do", "audio to do"):
        table.add_column(name, justify="right")
    shards = len(build.plan.shards)
    for name, stage in build.plan.graph.stages.items():
        todo = build.plan.todo_shards(name)
        engine = str(stage.parameters.get("engine", ""))
        table.add_row(name, engine, str(shards - todo), str(todo), hours(build.plan.todo_ms(name)))
    return table


def _print_sources(console: Console, build: Build) -> None:
    recordings, errors = build.sources.recordings, build.sources.errors
    total = sum(r.duration_ms for r in recordings)
    console.print(
        f"{len(recordings)} recordings ({hours(total)}) in {len(build.plan.shards)} shards; "
        f"{build.sources.duplicates} duplicates, {len(errors)} unreadable",
        highlight=False,
    )
    for note in build.sources.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


if __name__ == "__main__":
    run_command(plan)
