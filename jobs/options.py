"""Options that several commands share, and how they become a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wavemill.jobs import places

if TYPE_CHECKING:
    from wavemill.pipeline.curation import Config

Sources = Annotated[
    list[str],
    typer.Argument(
        parser=places.place,
        metavar="SOURCE",
        help="Folders (searched recursively), audio files, JSONL manifests (NeMo's work as they "
        "are, with their tar files, too), WebDataset tar files, lhotse manifests and Shar cuts; "
        "by path, or s3://bucket/key.",
        show_default=False,
    ),
]
Out = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        parser=places.place,
        metavar="WORKDIR",
        help="The WORKDIR: stage outputs, snapshots and the corpus. A folder, s3://bucket/prefix, "
        "gs://bucket/prefix, or a URL of another scheme that an fsspec package knows.",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        parser=places.named,
        metavar="NAME",
        help="embedded: small models, no download; standard: the same with Whisper "
        "large-v3-turbo, fetched; paper: the technical report's engines, which need "
        "wavemill[paper] and weights; or the path of a profile.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        parser=places.path,
        metavar="FILE",
        help="YAML file with fields that differ from the profile.",
    ),
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
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 if any recording was quarantined.")
]
Truth = Annotated[
    Path | None,
    typer.Option(
        parser=places.path,
        metavar="FOLDER",
        help="Folder with reference.rttm and transcripts.jsonl to score against.",
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Try again the recordings that failed in a stage before, say after an engine was "
        "repaired.",
    ),
]
ProfileRun = Annotated[
    bool,
    typer.Option(
        "--profile-run",
        help="Print at the end what each stage took: time, CPU, waiting, and how fast it was.",
    ),
]
Workdir = Annotated[
    str,
    typer.Argument(
        parser=places.place,
        metavar="WORKDIR",
        help="The --out of wavemill curate.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")
]
Precision = Literal["stored", "float32", "bfloat16", "float16"]
Model = Annotated[
    str,
    typer.Argument(
        parser=places.model, metavar="MODEL", help="Folder of a model, or a hub id (owner/name)."
    ),
]
Semantic = Annotated[
    str | None,
    typer.Option(
        parser=places.model,
        metavar="MODEL",
        help="Semantic tokenizer, if not in MODEL: a folder or hub id.",
    ),
]
Detokenizer = Annotated[
    str | None,
    typer.Option(
        parser=places.model,
        metavar="MODEL",
        help="Detokenizer, if not in MODEL: a folder or hub id.",
    ),
]
SnapshotNumber = Annotated[
    int | None, typer.Option(help="Number of a snapshot (default: the newest).")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Seed = Annotated[int, typer.Option(help="Seed of all random draws.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass(frozen=True)
class RunOptions:
    """Options of the command line that set fields of `execution`."""

    executor: str | None = None
    workers: int | None = None
    address: str | None = None

    def overrides(self) -> list[str]:
        given = {"executor": self.executor, "workers": self.workers, "address": self.address}
        return [f"execution.{k}={v}" for k, v in given.items() if v is not None]


def resolve_config(
    profile: str, file: Path | None, overrides: list[str] | None, run: RunOptions
) -> Config:
    """Return the configuration that the options describe. Raises ConfigError."""
    from wavemill.pipeline.config import load_config
    from wavemill.pipeline.curation import Config

    config: Any = load_config(Config, profile, file, [*(overrides or []), *run.overrides()])
    return config
