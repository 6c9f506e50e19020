"""wavemill transcribe MODEL SOURCE...: transcribe recordings with a model of this project."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, TextIO

import typer

from wavemill.jobs import options, places
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_model_packages
from wavemill.jobs.plain import printable


def transcribe(
    source: options.Model,
    recordings: Annotated[
        list[str],
        typer.Argument(
            parser=places.place,
            metavar="SOURCE",
            help="Recordings in any format, folders of them, manifests or tar files, as "
            "`wavemill curate` takes them.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=places.path,
            metavar="FILE",
            help="Also write a manifest: JSON lines with `audio` and `text`.",
        ),
    ] = None,
    instruction: Annotated[
        str, typer.Option(help="Instruction for the model, in words that it learnt.")
    ] = "Transcribe this audio.",
    semantic: options.Semantic = None,
    device: options.Device = "cpu",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Limit of a transcript, in tokens.", min=1)
    ] = None,
) -> None:
    """Print the transcript of each recording: a line each, the file first.

    Audio may have any rate and number of channels. A recording is processed as a whole, so it must
    fit the model's context (80 ms a token); cut longer ones with `wavemill curate` first. One that
    cannot be used is named on standard error, the others go on, and the exit code is 1.

    Example: wavemill transcribe run/model talks/ question.mp3 --out heard.jsonl
    """
    need_model_packages()
    from wavemill.manifests.cache import HashCache
    from wavemill.manifests.scan import scan_sources
    from wavemill.pipeline.library.assistant import Assistant
    from wavemill.stages.audio.decode import probe

    found = scan_sources(recordings, probe, HashCache())
    for note in found.notes:
        typer.echo(printable(f"note: {note}"), err=True)
    failed = [f"{error.source}: {error.message}" for error in found.errors]
    model = Assistant.from_pretrained(source, device, semantic=semantic, speaks=False)
    with ExitStack() as stack:
        lines = None if out is None else stack.enter_context(_opened(out))
        for recording in found.recordings:
            try:
                text = model.transcribe(
                    recording.uri, instruction=instruction, max_new_tokens=max_new_tokens
                )
            except ValueError as error:  # what cannot be decoded, or is too long
                failed.append(f"{recording.uri}: {str(error).removeprefix(f'{recording.uri}: ')}")
                continue
            typer.echo(printable(f"{recording.uri}\t{' '.join(text.split())}"))
            if lines is not None:
                line = {"audio": recording.uri, "text": text}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    for problem in failed:
        typer.echo(printable(problem), err=True)
    if failed or not found.recordings:
        raise typer.Exit(1)


def _opened(path: Path) -> TextIO:
    from wavemill.pipeline.config import ConfigError

    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out: cannot write {path}: {error.strerror or error}") from None


if __name__ == "__main__":
    run_command(transcribe)
