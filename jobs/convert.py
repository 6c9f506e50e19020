"""wavemill convert RECORDING --voice FILE --detokenizer MODEL: the same words in another voice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavemill.jobs import options, places
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_model_packages
from wavemill.jobs.generate import check_out, write_sound


def convert(
    recording: Annotated[
        Path,
        typer.Argument(
            parser=places.path, metavar="RECORDING", help="What is said, in any format."
        ),
    ],
    voice: Annotated[
        Path,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="Recording of the voice to say it in, up to 15 s; 3 s are enough.",
        ),
    ],
    detokenizer: Annotated[
        str,
        typer.Option(
            parser=places.model,
            metavar="MODEL",
            help="Folder or hub id with a detokenizer, RUN/model of `wavemill train detokenizer`.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            parser=places.path,
            metavar="FILE",
            help="File for the result: WAV or FLAC, 24 kHz, mono.",
        ),
    ] = Path("converted.wav"),
    semantic: options.Semantic = None,
    device: options.Device = "cpu",
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Also print how similar the result is to either voice (CAM++), and what a "
            "transcriber hears before and after.",
        ),
    ] = False,
    seed: options.Seed = 0,
) -> None:
    """Say what a recording says in the voice of another one.

    The recording becomes semantic tokens, and the detokenizer makes sound of them behind the other
    recording, whose voice it takes on as far as it learnt to. It learns to with prompts: train its
    flow network with --set flow.clips.prompt_share=0.5 on a corpus of many speakers, so that each
    clip stands behind another one of its speaker.

    Example: wavemill convert talk.wav --voice anna.wav --detokenizer voice/model --out as-anna.wav
    """
    need_model_packages()
    from wavemill.pipeline.conversion import Converter, likeness

    check_out(out)
    converter = Converter(detokenizer, semantic, device)
    made = converter(recording, voice, seed)
    write_sound(out, made, converter.sample_rate)
    if measure:
        found = likeness(recording, voice, made, converter.sample_rate)
        for name, value in (("voice", found.to_voice), ("recording", found.to_source)):
            shown = "not known, under a second" if value is None else f"{value:.2f}"
            typer.echo(f"similarity to the {name}: {shown}")
        typer.echo(f"heard before: {found.before}\nheard after: {found.after}")


if __name__ == "__main__":
    run_command(convert)
