"""The options that `curate` and `plan` share, and how they become a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.config import load_config
from pipeline.curation import Config

Sources = Annotated[
    list[str],
    typer.Argument(
        help="Folders (searched recursively), audio files, JSONL manifests (NeMo manifests work "
        "as they are), WebDataset tar shards or lhotse manifests.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="The WORKDIR: stage outputs, snapshots and the corpus."),
]
Profile = Annotated[
    str,
    typer.Option(help="Name of a profile (embedded: needs no download), or a path to one."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file with fields that differ from the profile."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="One field, e.g. --set diarize.max_segment_ms=20000. Repeatable; wins over files.",
    ),
]
Executor = Annotated[
    str | None, typer.Option(help="ray: workers on this machine or a cluster; inline: no workers.")
]
Workers = Annotated[int | None, typer.Option(help="Worker processes (default: one per core).")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on, for example auto or ray://head:10001.")
]


@dataclass(frozen=True)
class RunOptions:
    """Options of the command line that stand for fields of `execution`."""

    executor: str | None = None
    workers: int | None = None
    address: str | None = None

    def overrides(self) -> list[str]:
        given = {"executor": self.executor, "workers": self.workers, "address": self.address}
        return [f"execution.{k}={v}" for k, v in given.items() if v is not None]


def resolve_config(
    profile: str, file: Path | None, overrides: list[str] | None, run: RunOptions
) -> Config:
    """Return the configuration that the options ask for. Raises ConfigError."""
    config: Any = load_config(Config, profile, file, [*(overrides or []), *run.overrides()])
    return config
