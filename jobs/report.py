"""wavemill report WORKDIR: write quality.duckdb and a page, and say what became of every hour.

For `ray job submit`: python -m wavemill.jobs.report WORKDIR
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from wavemill.jobs import places
from wavemill.jobs.durations import hours
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal, plain

if TYPE_CHECKING:
    from wavemill.pipeline.quality.totals import Discrepancy, Totals
    from wavemill.pipeline.snapshots import Snapshot

Workdir = Annotated[
    str,
    typer.Argument(
        parser=places.place, metavar="WORKDIR", help="The WORKDIR of a build.", show_default=False
    ),
]
NAMED_AT_MOST = 20  # recordings that do not add up


def report(
    workdir: Workdir,
    page: Annotated[bool, typer.Option(help="Also write report/index.html.")] = True,
) -> None:
    """Write WORKDIR/quality.duckdb and report/index.html; print what became of every hour of input.

    The file holds views over the Parquet files of the newest snapshot: recordings, segments (kept
    or not), rejections, errors, corpus, snapshots, accounting and more. The page is one file that
    needs no network: figures, and samples of the audio to listen to. Run it again after a
    refresh, or after the WORKDIR has moved; while a build runs, wavemill dashboard shows the same
    without writing. Exits with 1 if a recording is not accounted for.

    Example: wavemill report work, then duckdb work/quality.duckdb "from hours_by_language"
    """
    from wavemill.jobs.progress import hold
    from wavemill.pipeline.quality.database import DATABASE, new_database, newest_snapshot
    from wavemill.pipeline.quality.figures import read_figures
    from wavemill.pipeline.quality.page import PAGE, begin, write_page
    from wavemill.pipeline.quality.samples import read_samples
    from wavemill.pipeline.quality.shard_rows import page_database
    from wavemill.pipeline.quality.totals import read_totals
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.version import version

    console, store = Terminal(), Store.open(workdir)
    newest_snapshot(store)  # there is one
    if page:
        begin()
    # A purge beside it must not meet what was read before it, so a report is a writer like others.
    with hold(console, store, "wavemill report"), new_database(store, version()) as made:
        snapshot, _ = made
        with page_database(store, snapshot, version()) as database:
            if page:
                figures = read_figures(database, store, snapshot)
                totals = figures.totals
                write_page(store, figures, read_samples(database, store, snapshot))
            else:
                totals = read_totals(database)
    print_totals(console, snapshot, totals)
    console.print(plain(f"views over all of it: {store.root}/{DATABASE}"), soft_wrap=True)
    if page:
        console.print(
            plain(f"figures and samples to listen to: {store.root}/{PAGE}"), soft_wrap=True
        )
    if totals.discrepancies:
        _print_discrepancies(console, totals.discrepancies)
        raise typer.Exit(1)


def print_totals(console: Terminal, snapshot: Snapshot, totals: Totals) -> None:
    """Print the classes of the input, which add up to it, and the languages of the segments."""
    classes = Table(
        title=f"Snapshot {snapshot.name}: {totals.recordings:,} recordings",
        title_justify="left",
        show_header=False,
    )
    classes.add_column("what")
    classes.add_column("audio", justify="right")
    classes.add_column("share", justify="right")

    def row(name: str, ms: int, style: str = "") -> None:
        share = f"{ms / totals.input_ms:.1%}" if totals.input_ms else ""
        classes.add_row(plain(name), hours(ms), share, style=style)

    row("input", totals.input_ms)
    row("  kept", totals.kept_ms, "bold green")
    for rule in totals.rejected:
        row(f"  rejected: {rule.rule}", rule.ms)
    row("  non-speech", totals.non_speech_ms)
    if totals.unused_ms:
        row("  outside the manifest's spans", totals.unused_ms)
    row("  errors", totals.error_ms, "red" if totals.error_ms else "")
    console.print(classes)
    _print_languages(console, totals)
    for error in totals.errors:
        console.print(f"errors: {error.count:,} in {error.stage}: {error.reason}", style="red")


def _print_languages(console: Terminal, totals: Totals) -> None:
    table = Table("language", title="Segments by language", title_justify="left")
    for name in ("kept", "", "of all", ""):
        table.add_column(name, justify="right")
    for language in totals.languages:
        table.add_row(
            plain(language.language or "not named"),
            hours(language.kept_ms),
            f"{language.kept_segments:,}",
            hours(language.ms),
            f"{language.segments:,}",
        )
    if totals.languages:
        console.print(table)


def _print_discrepancies(console: Terminal, found: tuple[Discrepancy, ...]) -> None:
    console.print(f"{len(found):,} recordings are not accounted for:", style="bold red")
    for lost in found[:NAMED_AT_MOST]:
        line = f"  {lost.source} ({lost.recording_id}) {lost.problem}: {lost.ms:+,} ms"
        console.print(plain(line, "red"), soft_wrap=True)
    if len(found) > NAMED_AT_MOST:
        console.print("  ... all of them: from discrepancies", style="red")


if __name__ == "__main__":
    run_command(report)
