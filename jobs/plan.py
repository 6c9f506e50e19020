"""wavemill plan SOURCE... --out WORKDIR: what `curate` would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.filesize import decimal
from rich.table import Table

from wavemill.jobs import options
from wavemill.jobs.durations import hours, time_text
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.build import Build
    from wavemill.pipeline.estimate import Cost


def plan(
    sources: options.Sources,
    out: options.Out,
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    executor: options.Executor = None,
    workers: options.Workers = None,
    address: options.Address = None,
    retry_failed: options.RetryFailed = False,
) -> None:
    """Show which stages of which shards are done and which are to do.

    Takes the same arguments as curate and computes nothing. The only thing it may write is the
    cache of content hashes in OUT/manifest. CPU, GPU and disk are estimates from what the same
    stages took in OUT before; "newly kept" is what another threshold keeps, known once it was
    applied.

    Example: wavemill plan recordings/ --out work --set filter.asr.min_snr_db=10
    """
    from wavemill.jobs.progress import scan_progress
    from wavemill.pipeline.build import prepare

    console = Terminal()
    run = options.RunOptions(executor, workers, address)
    settings = options.resolve_config(profile, config, overrides, run)
    with scan_progress(console) as progress:
        build = prepare(sources, out, settings, progress, retry_failed, "wavemill plan")
    _print_stages(console, build)
    _print_sources(console, build)


def _print_stages(console: Terminal, build: Build) -> None:
    """One row per stage; costs are those of the same stage in this WORKDIR before."""
    from wavemill.pipeline.estimate import estimate

    costs = estimate(build.plan)
    with_gpu = any(cost.gpu_hours for cost in costs.values())
    console.print(f"Plan for {build.store.root}", soft_wrap=True)
    # Narrow enough for 80 columns with the longest names of stages and engines.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("stage", "engine"):
        table.add_column(name, no_wrap=True)
    for name in ("done", "to do", "audio", "CPU", *(["GPU"] if with_gpu else []), "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    for load in build.plan.loads():
        engine = str(build.plan.graph.stages[load.stage].parameters.get("engine", ""))
        audio = hours(load.audio_ms) if load.shards > load.additions else "newly kept"
        cells = [engine, str(load.done), str(load.shards), audio if load.shards else ""]
        table.add_row(load.stage, *cells, *_cost_cells(costs.get(load.stage), with_gpu))
    console.print(table)
    console.print(_total(costs))


def _cost_cells(cost: Cost | None, with_gpu: bool) -> list[str]:
    if cost is None:
        return [""] * (3 if with_gpu else 2)
    if cost.cpu_hours is None or cost.gpu_hours is None or cost.bytes is None:
        return ["?"] * (3 if with_gpu else 2)
    gpu = [time_text(cost.gpu_hours * 3600)] if with_gpu else []
    cells = [time_text(cost.cpu_hours * 3600), *gpu, decimal(cost.bytes)]
    return [f"≤ {cell}" for cell in cells] if cost.at_most else cells


def _total(costs: Mapping[str, Cost]) -> str:
    from wavemill.pipeline.estimate import total_cpu_seconds

    if not costs:
        return "nothing to do"
    if (seconds := total_cpu_seconds(costs)) is None:
        return "?: this WORKDIR has not seen the stage before, so there is no estimate"
    return f"about {time_text(seconds)} of CPU time, by the past speed of this WORKDIR"


def _print_sources(console: Terminal, build: Build) -> None:
    from wavemill.pipeline.changes import changes

    recordings, errors = build.sources.recordings, build.sources.errors
    total = sum(r.duration_ms for r in recordings)
    console.print(
        f"{len(recordings)} recordings ({hours(total)}) in {build.plan.shards} shards; "
        f"{build.sources.duplicates} duplicates, {len(errors)} unreadable",
    )
    for note in (*build.sources.notes, *changes(build.plan, build.store)):
        console.print(f"note: {note}", soft_wrap=True)


if __name__ == "__main__":
    run_command(plan)
