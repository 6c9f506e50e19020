"""wavemill withdraw WORKDIR PATTERN...: take recordings out of the corpus, for good."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from wavemill.jobs import options
from wavemill.jobs.durations import hours
from wavemill.jobs.plain import Terminal, plain

if TYPE_CHECKING:
    from wavemill.pipeline.lock import Held
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.withdrawal import Match, Matches

SHOWN = 20  # recordings
NOT_COVERED = (
    "not covered, since nothing here tells where they are: models that learnt from these "
    "recordings, benchmark folders made of them, copies elsewhere and the sources themselves"
)


def withdraw(
    workdir: options.Workdir,
    patterns: Annotated[
        list[str],
        typer.Argument(
            metavar="PATTERN...",
            help="A recording's id or its beginning, its URI, path or file name. Where there is "
            "none of that name, * and ? stand for anything; other characters for themselves.",
            show_default=False,
        ),
    ],
    reason: Annotated[
        str | None, typer.Option(help="The reason, which is stored with the id.")
    ] = None,
    purge_it: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete their bytes from every file, and check every file for them.",
        ),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let withdrawn recordings in again.")
    ] = False,
    dry_run: options.DryRun = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            "-y",
            help="Do not ask before --purge, nor whether a pattern means these recordings.",
        ),
    ] = False,
) -> None:
    """Take recordings out of every corpus and keep them out, even if their files stay.

    A new snapshot without them is made at once, without looking at the sources. Older snapshots
    keep them, unless --purge is given: then no file of WORKDIR has any trace of them afterwards.
    The recordings that match are shown, and you are asked, before anything is done. The same
    command finishes an interrupted purge. Models and benchmarks made of them are not changed.

    Example: wavemill withdraw work 'interviews/2021-*' --reason "consent withdrawn" --purge
    """
    from wavemill.jobs.progress import hold
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.upkeep.withdrawal import add_tombstones

    if not (undo or (reason or "").strip()):
        raise ConfigError("--reason: say why, for those who ask later")
    if undo and purge_it:
        raise ConfigError("--undo and --purge exclude each other")
    console, store = Terminal(), Store.open(workdir)
    if dry_run:
        _print(console, store, _found(store, patterns).recordings, purge_it)
        return
    with hold(console, store, f"wavemill withdraw{' --undo' * undo}") as held:
        matches = _found(store, patterns)
        found, now_ms = matches.recordings, time.time_ns() // 1_000_000
        if matches.vague and not yes and not is_terminal():
            raise ConfigError(_unasked(matches))
        _print(console, store, found, purge_it)
        if not yes and is_terminal() and (purge_it or matches.vague):
            typer.confirm(_question(purge_it, undo), abort=True)
        if undo:
            _undo(console, store, found, now_ms)
            return
        asked = {match.recording_id: match.names for match in found}
        add_tombstones(store, asked, str(reason), now_ms, purge_it)
        unpublished = _publish(console, store, held)
        clean = _purge(console, store) if purge_it else True
    if unpublished:
        console.print(unpublished, style="red", markup=False, highlight=False, soft_wrap=True)
    if unpublished or not clean:
        raise typer.Exit(1)


def is_terminal() -> bool:
    """Whether a person at a terminal can be asked."""
    return sys.stdin.isatty()


def _unasked(matches: Matches) -> str:
    count = len(matches.recordings)
    return (
        f"{', '.join(map(repr, matches.vague))} may mean more than was thought of, {count:,} "
        "recordings in all; look at them with --dry-run, then add --yes"
    )


def _question(purge_it: bool, undo: bool) -> str:
    if undo:
        return "Let them in again?"
    return "Delete their bytes for good?" if purge_it else "Withdraw them?"


def _found(store: Store, patterns: list[str]) -> Matches:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.upkeep.withdrawal import matching

    try:
        return matching(store, patterns)
    except LookupError as error:
        raise ConfigError(str(error)) from None


def _print(console: Terminal, store: Store, found: list[Match], purge_it: bool) -> None:
    from wavemill.pipeline.upkeep.purge import affected_files

    def line(text: str) -> None:
        console.print(plain(text), soft_wrap=True)

    for match in found[:SHOWN]:
        state = "  (withdrawn)" if match.withdrawn else ""
        source = match.source or "(its name is kept nowhere)"
        line(f"{match.recording_id}  {hours(match.duration_ms):>12}  {source}{state}")
    if len(found) > SHOWN:
        line(f"and {len(found) - SHOWN:,} more")
    line(f"{len(found):,} recordings, {hours(sum(match.duration_ms for match in found))}")
    if purge_it:
        files = affected_files(store, [match.recording_id for match in found])
        line(
            f"up to {len(files):,} stage files ({decimal(sum(f.bytes for f in files))}) to rewrite"
        )


def _undo(console: Terminal, store: Store, found: list[Match], now_ms: int) -> None:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.upkeep.withdrawal import reinstate

    withdrawn = [match.recording_id for match in found if match.withdrawn]
    if not withdrawn:
        raise ConfigError("none of them is withdrawn")
    reinstate(store, withdrawn, now_ms)
    console.print(
        f"{len(withdrawn):,} recordings may come back; the next curate or refresh takes those "
        "that are in its sources",
        highlight=False,
        soft_wrap=True,
    )


def _publish(console: Terminal, store: Store, held: Held) -> str:
    """Make a snapshot without the withdrawn recordings; return why not, if it cannot be."""
    from wavemill.pipeline.upkeep.without_withdrawn import NotPublished, publish_without_withdrawn

    try:
        snapshot = publish_without_withdrawn(store, held)
    except NotPublished as error:
        return str(error)
    if snapshot is not None:
        rows = ", ".join(f"{count:,} rows in {corpus}" for corpus, count in snapshot.rows.items())
        console.print(f"snapshot {snapshot.name}: {rows}", highlight=False, soft_wrap=True)
    return ""


def _purge(console: Terminal, store: Store) -> bool:
    """Delete the bytes and print the proof; return whether nothing is left."""
    from wavemill.pipeline.upkeep.purge import purge

    def red(text: str) -> None:
        console.print(plain(text, "red"), soft_wrap=True)

    proof = purge(store, datetime.now(UTC).isoformat(timespec="seconds"))
    for key, rows in proof.rows.items():
        red(f"{key}: {rows} rows are left")
    for key in proof.named:
        red(f"{key}: still names them; it is not from curate, so delete or change it yourself")
    for key in proof.unreadable:
        red(
            f"{key}: cannot be read, so nobody can tell; wavemill verify {store.root} --repair "
            "takes out what is damaged, then ask again"
        )
    if proof.linked_elsewhere:
        red(
            f"{proof.linked_elsewhere} of the files that were replaced have another name, outside "
            "the WORKDIR"
        )
    console.print(
        plain(
            f"purged; {proof.files:,} files read again, {sum(proof.rows.values())} rows found"
            f"{f', {len(proof.named)} other files name them' if proof.named else ''}"
        ),
        soft_wrap=True,
    )
    console.print(NOT_COVERED, highlight=False, soft_wrap=True)
    return proof.clean
