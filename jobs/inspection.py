"""wavemill schema and wavemill config: what the tables mean, what a profile comes to."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.table import Table

from wavemill.jobs import options
from wavemill.jobs.plain import Terminal
from wavemill.pipeline.curation import all_schemas

config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)


@config_app.command("show")
def config_show(
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
) -> None:
    """Print the resolved configuration as YAML: profile, then file, then --set values."""
    resolved = options.resolve_config(profile, config, overrides, options.RunOptions())
    typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), nl=False)


def schema(
    table: Annotated[
        str | None, typer.Argument(help="One table, for example pretrain (default: all).")
    ] = None,
) -> None:
    """Print the columns of every table with their types and meanings."""
    schemas = all_schemas()
    if table is not None and table not in schemas:
        raise typer.BadParameter(f"no table {table!r}; there are {', '.join(schemas)}")
    console = Terminal()
    for name, columns in schemas.items():
        if table in (None, name):
            view = Table("column", "type", "meaning", title=name, title_justify="left")
            for column in columns:
                meaning = (column.metadata or {}).get(b"description", b"").decode()
                view.add_row(column.name, str(column.type), meaning)
            console.print(view)
