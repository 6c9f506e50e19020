"""wavemill weights: which weights a profile's engines need, whether they are there, fetching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from wavemill.jobs import options, places
from wavemill.jobs.lazy import Command
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.weights import Needed

weights_app = typer.Typer(
    help="List, check or fetch the weights that a profile's engines need.", no_args_is_help=True
)


@weights_app.command("list", cls=Command)
def list_weights(
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
) -> None:
    """Print every file of weights: who needs it, where it comes from, whether it is there.

    States go by names and sizes here; `wavemill weights verify` reads the files.

    Example: wavemill weights list --profile embedded
    """
    table = Table("stage", "engine", "file", "from", "licence", "sha256", "bytes", "state")
    for one in _needed(profile, config, overrides):
        for file in one.files():
            size = file.bytes_there()
            table.add_row(
                one.stage,
                one.engine,
                file.name,
                file.origin,
                file.licence or "see there",
                file.sha256[:12],
                "" if size is None else f"{size:,}",
                file.state(hashed=False),
            )
    Terminal().print(table)


@weights_app.command("verify", cls=Command)
def verify_weights(
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
) -> None:
    """Read every file of weights and compare it with what is known of its content.

    Prints a line with the remedy for each that is missing or changed, and exits with 1 if there is
    one.
    """
    from wavemill.pipeline.weights import faults

    console = Terminal()
    files = [file for one in _needed(profile, config, overrides) for file in one.files()]
    found = faults(files)
    for fault in found:
        console.print(fault, style="red", soft_wrap=True, markup=False)
    console.print(f"{len(files):,} files checked, {len(found):,} missing or changed")
    raise typer.Exit(bool(found))


@weights_app.command("fetch", cls=Command)
def fetch_weights(
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            parser=places.path,
            metavar="FOLDER",
            help="Folder to take to a machine without a network (default: where engines look).",
        ),
    ] = None,
) -> None:
    """Download the weights that come in no wheel, and print how to use them without a network.

    Example: wavemill weights fetch --profile paper --to weights
    """
    from wavemill.pipeline.weights import fetched, recipe, to_fetch

    console = Terminal()
    wanted = to_fetch(_needed(profile, config, overrides))
    if not wanted:
        console.print("nothing to fetch: the weights come inside packages or lie in your folders")
        return
    done = []
    for one in wanted:
        path = fetched(one, to and to.absolute())
        console.print(f"{one.declared.origin}: {path}", soft_wrap=True, markup=False)
        done.append((one, path))
    console.print("without a network:")
    for line in recipe(done, to):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _needed(profile: str, config: Path | None, overrides: list[str] | None) -> list[Needed]:
    from wavemill.pipeline.weights import needed

    return needed(options.resolve_config(profile, config, overrides, options.RunOptions()))
