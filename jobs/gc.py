"""wavemill gc WORKDIR --keep N: remove what no kept snapshot needs, and nothing else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from wavemill.jobs import options
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.retention import Garbage


def gc(
    workdir: options.Workdir,
    keep: Annotated[
        int, typer.Option(min=1, help="How many snapshots to keep, counted from the newest.")
    ],
    dry_run: options.DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove older snapshots, and the stage outputs that no kept snapshot was made from.

    The kept snapshots stay as they are, and curate with the same sources and settings has
    nothing to do afterwards. Outputs of a build that was interrupted after the newest snapshot
    stay too, so that it can go on.

    Example: wavemill gc work --keep 3 --dry-run
    """
    from wavemill.jobs.progress import hold
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.retention import remove

    console, store = Terminal(), Store.open(workdir)
    if dry_run:
        _print(console, store, _find(store, keep))
        return
    with hold(console, store, "wavemill gc") as held:
        garbage = _find(store, keep)
        _print(console, store, garbage)
        if not garbage.files:
            return
        if not yes and sys.stdin.isatty():
            typer.confirm("Remove this?", abort=True)
        held.confirm()
        remove(store, garbage)
        console.print("removed")


def _find(store: Store, keep: int) -> Garbage:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.upkeep.retention import find_garbage

    try:
        return find_garbage(store, keep, time.time_ns() // 1_000_000)
    except LookupError as error:
        raise ConfigError(str(error)) from None


def _print(console: Terminal, store: Store, garbage: Garbage) -> None:
    from wavemill.pipeline.upkeep.retention import freed_bytes

    numbers = ", ".join(str(snapshot.number) for snapshot in garbage.snapshots) or "none"
    console.print(f"snapshots that can go: {numbers}", soft_wrap=True)
    # A corpus part is a hard link to a stage output: counted as one, under outputs.
    together = (*garbage.outputs, *garbage.leftovers, *garbage.in_snapshots)
    for kind, files in (
        ("stage outputs", garbage.outputs),
        ("snapshots' own files", garbage.in_snapshots),
        ("leftovers of interrupted writes", garbage.leftovers),
    ):
        freed = freed_bytes(store, files, together)
        console.print(f"{decimal(freed):>10}  {len(files):,} files: {kind}")
