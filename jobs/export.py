"""wavemill export: a corpus in the format of another project."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from wavemill.jobs import options, places
from wavemill.jobs.plain import Terminal


def export(
    workdir: options.Workdir,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="kimi-jsonl: fine-tuning data of Kimi-Audio; messages: chat messages with parts "
            "of type audio and text, for transformers and TRL; stereo: two tracks (left assistant, "
            "right user) with a timed transcript, for moshi-finetune.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            parser=places.place,
            metavar="FOLDER",
            help="Where to write: a new folder, or one of an earlier export, which is brought up "
            "to date; s3://bucket/prefix works, too.",
        ),
    ],
    snapshot: options.SnapshotNumber = None,
    split: Annotated[
        str | None, typer.Option(help="Only rows of this split: train, validation, test, ...")
    ] = None,
    audio: Annotated[
        Literal["wav", "flac"], typer.Option(help="Format of the sound, 16 bit.")
    ] = "wav",
    rate: Annotated[
        int | None,
        typer.Option(
            min=8_000, max=96_000, metavar="HZ", help="Sample rate (default: the corpus's)."
        ),
    ] = None,
) -> None:
    """Write conversations of a corpus in a format that other projects train on.

    FOLDER/data.jsonl has a line for each conversation, with paths relative to FOLDER. The same
    command goes on where a killed one stood, and after a refresh writes only what changed.

    Example: wavemill export work --format kimi-jsonl --out kimi
    """
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.export.format import AudioOptions
    from wavemill.pipeline.export.formats import FORMATS
    from wavemill.pipeline.export.run import DATA, Selection
    from wavemill.pipeline.export.run import export as write
    from wavemill.pipeline.library.corpus import open_workdir
    from wavemill.pipeline.store import Store

    console = Terminal()
    if form not in FORMATS:
        raise ConfigError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    made, to = FORMATS[form](), Store.open(out)
    with open_workdir(workdir, snapshot) as work, console.status("looking at the corpus") as status:

        def progress(done: int, of: int) -> None:
            status.update(f"writing: {done:,} of {of:,} parts")

        found = write(
            work.store,
            work.snapshot,
            made,
            to,
            AudioOptions(audio, rate),
            Selection(split),
            progress,
        )
    console.print(f"{found.rows:,} lines in {to.root}/{DATA}", soft_wrap=True)
    console.print(
        f"parts: {found.written:,} written, {found.kept:,} kept, {found.removed:,} removed"
    )
    if found.left_out:
        console.print(f"left out: {found.left_out:,} rows that have no place in {made.name}")
    console.print(f"{made.name} does not carry {made.dropped}", style="dim")
