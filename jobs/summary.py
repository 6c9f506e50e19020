"""The table at the end of a build."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table

from wavemill.jobs.durations import hours
from wavemill.jobs.plain import Terminal
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.stage_times import StageTime
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import Summary


def print_summary(console: Terminal, store: Store, snapshot: Snapshot, summary: Summary) -> None:
    """Print the figures of a snapshot, what was rejected and why, errors, and where it is."""
    table = Table(title=f"Snapshot {snapshot.name}", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("audio", justify="right")
    table.add_column("count", justify="right")
    if summary.recordings or not summary.conversations:
        table.add_row("recordings", hours(summary.ms_in), f"{summary.recordings}")
        table.add_row("speech", hours(summary.ms_speech), "")
        table.add_row("segments", hours(summary.ms_segments), f"{summary.segments}")
        kept = f"{summary.segments_kept}"
        table.add_row("kept", hours(summary.ms_kept), kept, style="bold green")
    for rule in summary.rejected:
        table.add_row(f"  rejected: {rule.rule}", hours(rule.ms), f"{rule.segments}")
    if summary.conversations:
        table.add_row("conversations", "", f"{summary.conversations}")
    for error in summary.errors:
        table.add_row(f"  error: {error.stage} {error.reason}", "", f"{error.count}", style="red")
    console.print(table)
    if len(summary.rejected) > 1:
        console.print("A segment that breaks several rules counts under each.", style="dim")
    corpora = ", ".join(f"{rows} rows in {name}" for name, rows in snapshot.rows.items())
    where = f"{store.root}/{'corpus' if store.local else snapshot.folder}"
    console.print(f"corpus: {where} ({corpora})", soft_wrap=True)
    if summary.errors:
        path = f"{where}/errors.parquet"
        console.print(f"errors, one row each: {path}", soft_wrap=True)


def print_speed(console: Terminal, audio_ms: int, seconds: float) -> None:
    """Print how fast the build was."""
    ratio = audio_ms / 1000 / seconds
    console.print(
        f"speed: {hours(audio_ms)} of audio in {hours(seconds * 1000)}, "
        f"{ratio:.1f} hours of audio per hour",
    )


def print_stage_times(console: Terminal, stages: Iterable[StageTime]) -> None:
    """Print what the workers' time was spent on, the stage that took most of it first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("audio", "worker s", "CPU s", "waiting s", "audio s/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for time in sorted(stages, key=lambda time: -time.seconds):
        cells = [f"{time.seconds:.1f}", f"{time.cpu_seconds:.1f}", f"{time.waiting:.1f}"]
        table.add_row(time.stage, hours(time.audio_ms), *cells, f"{time.speed:,.1f}")
    console.print(table)
