"""wavemill snapshots and wavemill diff: list the states of the corpus, and what changed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from wavemill.jobs import options
from wavemill.jobs.durations import hours
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.snapshots import Snapshot
    from wavemill.pipeline.upkeep.difference import Difference, RecordingChange

SHOWN = 10  # recordings of each kind; --json has them all


def snapshots(workdir: options.Workdir, as_json: options.AsJson = False) -> None:
    """List the snapshots of the corpus, oldest first.

    Each is in WORKDIR/snapshots/NUMBER as it was built; WORKDIR/corpus is the newest.

    Example: wavemill snapshots work
    """
    from wavemill.pipeline.snapshots import all_snapshots
    from wavemill.pipeline.store import Store

    found = all_snapshots(Store.open(workdir))
    if as_json:
        typer.echo(json.dumps([asdict(snapshot) for snapshot in found], indent=2))
        return
    view = Table("no.", "parent", "made (UTC)", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("recordings", "audio", "rows"):
        view.add_column(name, justify="right")
    view.add_column("config")
    for snapshot in found:
        view.add_row(*_row(snapshot))
    Terminal().print(view if found else f"{workdir} holds no snapshot; wavemill curate makes one")


def diff(
    workdir: options.Workdir,
    older: Annotated[
        int | None, typer.Argument(help="Number of a snapshot (default: the newer's parent).")
    ] = None,
    newer: Annotated[
        int | None, typer.Argument(help="Number of a snapshot (default: the newest).")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Print what changed between two snapshots: recordings, segments by rule, configuration.

    Without numbers, the newest is compared with its parent.

    Example: wavemill diff work 3 7
    """
    from wavemill.pipeline.snapshots import all_snapshots
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.difference import compare

    store = Store.open(workdir)
    found = compare(store, *_chosen(all_snapshots(store), older, newer, workdir))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _print(Terminal(), found)


def _row(snapshot: Snapshot) -> list[str]:
    rows = [f"{count:,} {corpus}" for corpus, count in snapshot.rows.items()]
    return [
        str(snapshot.number),
        str(snapshot.parent or ""),
        snapshot.created[:16].replace("T", " "),
        f"{snapshot.recordings:,}\n+{snapshot.added:,} -{snapshot.removed:,}",
        hours(snapshot.audio_ms),
        "\n".join([*rows, *(["purged"] if snapshot.purged else [])]),
        snapshot.config[:8],
    ]


def _chosen(
    found: list[Snapshot], older: int | None, newer: int | None, workdir: str
) -> tuple[Snapshot, Snapshot]:
    """Return the two snapshots; raises ConfigError if one of them does not exist."""
    from wavemill.pipeline.config import ConfigError

    by_number = {snapshot.number: snapshot for snapshot in found}
    last = newer if newer is not None else max(by_number, default=None)
    first = older
    if first is None and last in by_number:
        first = by_number[last].parent
    if first is None:
        raise ConfigError(f"{workdir} has no two snapshots to compare")
    missing = [number for number in (first, last) if number not in by_number]
    if missing or last is None:
        there = ", ".join(map(str, by_number)) or "none"
        raise ConfigError(f"{workdir} has no snapshot {missing[0]}; there are: {there}")
    return by_number[first], by_number[last]


def _print(console: Terminal, found: Difference) -> None:
    def line(text: str) -> None:
        console.print(text, soft_wrap=True)

    line(f"From snapshot {found.older:06d} to {found.newer:06d}")
    counts = Counter(change.change for change in found.recordings)
    for kind in ("added", "removed", "changed"):
        mine = [change for change in found.recordings if change.change == kind]
        ms = sum(change.duration_ms for change in mine)
        line(f"recordings {kind}: {counts[kind]:,} ({hours(ms)})")
        for change in mine[:SHOWN]:
            line(f"  {_named(change)}")
        if counts[kind] > SHOWN:
            line(f"  and {counts[kind] - SHOWN:,} more (--json lists them)")
    for change_of_segments in found.segments:
        of_audio = hours(change_of_segments.ms)
        line(f"segments {change_of_segments.what}: {change_of_segments.segments:,} ({of_audio})")
    if found.rules:
        console.print(_rules(found))
    for setting in found.config:
        line(f"config {setting.field}: {setting.before!r} -> {setting.after!r}")


def _named(change: RecordingChange) -> str:
    return f"{change.recording_id}  {hours(change.duration_ms):>12}  {change.source}"


def _rules(found: Difference) -> Table:
    view = Table(title="Segments in both, by rule", title_justify="left")
    view.add_column("rule")
    for name in ("newly kept", "audio", "newly rejected", "audio"):
        view.add_column(name, justify="right")
    for rule in found.rules:
        kept, rejected = hours(rule.kept_ms), hours(rule.rejected_ms)
        view.add_row(rule.rule, f"{rule.kept:,}", kept, f"{rule.rejected:,}", rejected)
    return view
