"""wavemill voices WORKDIR: prompts of voices out of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavemill.jobs import places
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import printable


def voices(
    workdir: Annotated[
        str,
        typer.Argument(
            parser=places.place, metavar="WORKDIR", help="WORKDIR that curate has built."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", parser=places.path, metavar="FILE", help="Parquet file."),
    ] = Path("voices.parquet"),
    shortest: Annotated[float, typer.Option(help="Seconds, at least.", min=0)] = 3.0,
    longest: Annotated[float, typer.Option(help="Seconds, at most.", min=0)] = 10.0,
    min_dnsmos: Annotated[float, typer.Option(help="DNSMOS overall, at least.")] = 3.0,
    min_snr: Annotated[float, typer.Option(help="Signal-to-noise ratio, in dB, at least.")] = 20.0,
    min_similarity: Annotated[
        float, typer.Option(help="Cosine to the speaker's embedding, at least.")
    ] = 0.5,
    max_overlap: Annotated[
        float, typer.Option(help="Share with a second speaker, at most.", min=0)
    ] = 0.02,
    license_: Annotated[
        list[str] | None,
        typer.Option(
            "--license", metavar="NAME", help="Allowed licence; repeatable. [default: all]"
        ),
    ] = None,
    of_each: Annotated[int, typer.Option(help="Prompts of a speaker, at most.", min=1)] = 1,
) -> None:
    """Pick prompts of voices from a corpus: clean stretches of one speaker, with their words.

    Each row of the file is one, with sound, text and semantic tokens, for `generate --voice` and
    other zero-shot speech synthesis. A score that is not known breaks no rule; a speaker who is in
    several splits is left out.

    Example: wavemill voices work --license CC0 --of-each 2 --out voices.parquet
    """
    from wavemill.pipeline.voices import VoiceRules, write_voices

    allowed = None if license_ is None else frozenset(license_)
    found = write_voices(
        workdir,
        out,
        VoiceRules(
            shortest, longest, min_dnsmos, min_snr, min_similarity, max_overlap, allowed, of_each
        ),
    )
    typer.echo(f"{found.prompts:,} prompts of {found.speakers:,} speakers in {printable(str(out))}")
    for rule, count in sorted(found.rejected.items()):
        typer.echo(f"  {rule}: {count:,} segments")
    if not found.prompts:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(voices)
