"""wavemill show WORKDIR RECORDING: one recording in time order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from wavemill.jobs.durations import hours
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal, plain
from wavemill.jobs.report import Workdir

if TYPE_CHECKING:
    from wavemill.pipeline.quality.timeline import Timeline, TimelineSegment

KEPT, NOT_KEPT, SILENT = "█", "░", "·"  # told apart without colours
BAR_WIDTH = 72  # characters for the whole recording


def show(
    workdir: Workdir,
    recording: Annotated[
        str,
        typer.Argument(
            help="Its id, the beginning of its id, its URI, or the end of its URI (a file name).",
            show_default=False,
        ),
    ],
) -> None:
    """Print one recording: who speaks when, what is said, what is kept and what is not, and why.

    Example: wavemill show work meeting3.flac
    """
    from wavemill.pipeline.quality.timeline import read_timeline
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.version import version

    console = Terminal()
    timeline = read_timeline(Store.open(workdir), recording, version())
    _print_heading(console, timeline)
    if timeline.segments:
        _print_bars(console, timeline)
        _print_segments(console, timeline.segments)


def _print_heading(console: Terminal, timeline: Timeline) -> None:
    console.print(plain(timeline.source, "bold"), soft_wrap=True)
    kept = [s for s in timeline.segments if s.status == "kept"]
    console.print(
        f"{timeline.recording_id}, {hours(timeline.duration_ms)}: {len(timeline.segments)} "
        f"segments, {len(kept)} kept ({hours(sum(s.end_ms - s.start_ms for s in kept))})",
    )
    for error in timeline.errors:
        line = f"failed in {error.stage}: {error.reason}: {error.message}"
        console.print(plain(line, "red"), soft_wrap=True)


def _print_bars(console: Terminal, timeline: Timeline) -> None:
    tracks = {segment.track for segment in timeline.segments}
    bars = Table.grid(padding=(0, 1))
    for track, speaker in sorted({(s.track, s.speaker) for s in timeline.segments}):
        mine = [s for s in timeline.segments if (s.track, s.speaker) == (track, speaker)]
        name = f"{track}/{speaker}" if len(tracks) > 1 else speaker
        bars.add_row(plain(name), bar(mine, timeline.duration_ms))
    console.print(bars)
    console.print(f"{KEPT} kept  {NOT_KEPT} not kept  {SILENT} no segment", style="dim")


def bar(segments: Iterable[TimelineSegment], duration_ms: int, width: int = BAR_WIDTH) -> Text:
    """Draw segments as a line of `width` characters; kept ones hide others."""
    cells = [SILENT] * width
    for segment in sorted(segments, key=lambda s: s.status == "kept"):
        first = min(segment.start_ms * width // max(duration_ms, 1), width - 1)
        last = min((segment.end_ms - 1) * width // max(duration_ms, 1), width - 1)
        mark = KEPT if segment.status == "kept" else NOT_KEPT
        cells[first : last + 1] = [mark] * (last + 1 - first)
    return Text("".join(cells))


def _print_segments(console: Terminal, segments: Sequence[TimelineSegment]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("from", "to", "speaker", "", "text"):
        table.add_column(name, justify="right" if name in ("from", "to") else "left")
    for segment in segments:
        table.add_row(
            clock(segment.start_ms),
            clock(segment.end_ms),
            plain(segment.speaker),
            _verdict(segment),
            plain(segment.text or ""),
        )
    console.print(table)


def _verdict(segment: TimelineSegment) -> Text:
    if segment.first_rule is None or segment.status != "rejected":
        return Text(segment.status, "green" if segment.status == "kept" else "red")
    held = ""
    if segment.value is not None and segment.threshold is not None:
        held = f" ({segment.value:.4g}, threshold {segment.threshold:g})"
    return plain(segment.first_rule + held, "yellow")


def clock(ms: int) -> str:
    """Return a time in the recording as H:MM:SS.mmm, without hours where there are none."""
    seconds, rest = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    whole, minutes = divmod(minutes, 60)
    return f"{f'{whole}:' if whole else ''}{minutes:02d}:{seconds:02d}.{rest:03d}"


if __name__ == "__main__":
    run_command(show)
