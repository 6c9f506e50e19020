"""wavemill verify WORKDIR: check that every file is there, byte for byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from wavemill.jobs import options
from wavemill.jobs.plain import Terminal, print_note

if TYPE_CHECKING:
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.findings import Inspection
    from wavemill.pipeline.upkeep.verify import Progress as Listener


def verify(
    workdir: options.Workdir,
    repair_it: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Remove what is damaged and all that was made from it, so that the next curate "
            "makes it again; rebuild a lost ledger or catalogue.",
        ),
    ] = False,
) -> None:
    """Check all files of the snapshots and stages against their recorded sizes and hashes.

    Names every file that is damaged or missing, and exits with 1 if there is one.

    Example: wavemill verify work
    """
    from wavemill.jobs.progress import hold
    from wavemill.pipeline.build import finish_interrupted
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.store import Store

    console, store = Terminal(), Store.open(workdir)
    if not repair_it:
        raise typer.Exit(bool(_inspect(console, store).damages))
    with hold(console, store, "wavemill verify --repair", finishing=False):
        with suppress(ConfigError, OSError, ValueError, TypeError):  # of what is damaged
            finish_interrupted(store, partial(print_note, console))
        found = _inspect(console, store)
        if found.damages:
            _repair(console, store, found)
            raise typer.Exit(1)


def _inspect(console: Terminal, store: Store) -> Inspection:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.snapshots import latest_snapshot
    from wavemill.pipeline.upkeep.verify import inspect

    with _progress(console) as listener:
        found = inspect(store, listener)
    if not found.files and not found.damages and latest_snapshot(store) is None:
        raise ConfigError(
            f"{store.root} holds nothing to check; remedy: the WORKDIR that curate built"
        )
    for damage in found.damages:
        console.print(f"{damage.key}: {damage.problem}", style="red", soft_wrap=True)
    console.print(f"{found.files:,} files checked, {len(found.damages):,} damaged")
    return found


def _repair(console: Terminal, store: Store, found: Inspection) -> None:
    from wavemill.pipeline.output_key import OutputKey
    from wavemill.pipeline.upkeep.findings import Kind
    from wavemill.pipeline.upkeep.repair import repair

    outputs = repair(store, found)
    shards = {OutputKey.parse(output).shard_id for output in outputs}
    console.print(
        f"repaired; {len(outputs):,} outputs of {len(shards):,} shards are to be made again: "
        f"wavemill refresh {store.root}, or curate as before"
        if outputs
        else "repaired",
        soft_wrap=True,
    )
    kinds = {damage.kind for damage in found.damages}
    if Kind.SNAPSHOT in kinds:
        console.print("the next curate makes the newest snapshot again; older ones stay damaged")
    if Kind.TOMBSTONES in kinds:
        console.print(
            "tombstones were lost for good: what they kept out comes back with the next curate, "
            "unless it is withdrawn again",
            style="red",
            soft_wrap=True,
        )
    if Kind.CATALOGUE in kinds:
        console.print(
            "the catalogue was made again; recordings that came since the newest snapshot "
            "are worked on anew"
        )


@contextmanager
def _progress(console: Terminal) -> Iterator[Listener]:
    """Show how many bytes were read: a bar on a terminal, a line every few seconds elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self, console: Terminal) -> None:
        self._console, self._printed = console, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from wavemill.jobs.progress import LINE_EVERY_SECONDS

        if time.monotonic() - self._printed >= LINE_EVERY_SECONDS:
            self._printed = time.monotonic()
            self._console.print(f"{done / 1e9:,.1f} of {total / 1e9:,.1f} GB")
