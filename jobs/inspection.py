"""wavemill schema and wavemill config: what tables mean, what profiles and recipes hold."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from wavemill.jobs import options
from wavemill.jobs.lazy import Command
from wavemill.jobs.plain import Terminal
from wavemill.jobs.training import Overrides, Recipe

config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)


@config_app.command("show", cls=Command)
def config_show(
    profile: options.Profile = "embedded",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
) -> None:
    """Print the resolved configuration as YAML: profile, then file, then --set values."""
    import yaml

    resolved = options.resolve_config(profile, config, overrides, options.RunOptions())
    typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), nl=False)


@config_app.command("recipe", cls=Command)
def config_recipe(
    training: Annotated[
        str,
        typer.Argument(
            metavar="TRAINING",
            help="pretrain, sft, tokenizer or detokenizer, as after `wavemill train`.",
            show_default=False,
        ),
    ],
    config: Recipe = "tiny",
    overrides: Overrides = None,
) -> None:
    """Print all fields of a training's recipe as YAML: those of NAME, then --set values.

    Example: wavemill config recipe sft --config small
    """
    import yaml

    from wavemill.pipeline.recipes import recipe_for

    recipe = recipe_for(training, config, overrides)
    typer.echo(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), nl=False)


def schema(
    table: Annotated[
        str | None, typer.Argument(help="One table, for example pretrain (default: all).")
    ] = None,
) -> None:
    """Print the columns of every table with their types and meanings."""
    from wavemill.pipeline.curation import all_schemas

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
