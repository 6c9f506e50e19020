"""wavemill voices WORKDIR: recordings of a corpus that texts can be spoken like."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavemill.jobs import options, places
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    from wavemill.pipeline.voices import Voices


def voices(
    workdir: options.Workdir,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", parser=places.path, metavar="FILE", help="Parquet file to write."
        ),
    ] = Path("voices.parquet"),
    per_speaker: Annotated[int, typer.Option(min=1, help="Recordings of each speaker.")] = 1,
    license: Annotated[
        list[str] | None,
        typer.Option(
            "--license",
            metavar="NAME",
            help="Only recordings under this licence, as their manifest states it. Repeatable.",
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help="shortest_s (3), longest_s (10), min_dnsmos_overall (3), min_snr_db (20), "
            "min_asr_confidence (0.8), min_speaker_similarity (0.6), max_overlap_ratio (0).",
        ),
    ] = None,
    snapshot: options.SnapshotNumber = None,
) -> None:
    """Choose voices to speak in from a corpus: short clean recordings of one speaker each.

    Of each speaker the clearest segments of 3 to 10 s are taken; what was left out, and why, is
    printed. Each keeps its licence, and its split, so that voices to test with are never learnt
    from. Written conversations are spoken in them with

    wavemill curate chats.jsonl --out work --set cast.voices=voices.parquet
    --set speak.engine=wavemill ...

    Example: wavemill voices work --license CC0-1.0 --out voices.parquet
    """
    import pyarrow.parquet as pq
    from pydantic import ValidationError

    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.library.corpus import open_workdir
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.voices import VoiceRules, find_voices

    given = dict(one.partition("=")[::2] for one in rules or ())
    try:
        wanted = VoiceRules.model_validate(
            {**given, "per_speaker": per_speaker, "licenses": license or ()}
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    with open_workdir(workdir, snapshot) as work:
        found = find_voices(work.corpus("pretrain"), wanted)
    console = Terminal()
    _print(console, found)
    if not found.table.num_rows:
        raise ConfigError("no segment is fit to be a voice; the lines above say why")
    with Store.open(out.absolute().parent).replacing(out.name) as path:
        pq.write_table(found.table, path, compression="zstd")
    count = found.table.num_rows
    console.print(f"{count:,} {'voice' if count == 1 else 'voices'} in {out}", soft_wrap=True)


def _print(console: Terminal, found: Voices) -> None:
    for rule, count in found.left_out.items():
        console.print(f"left out: {count:,} of {found.segments:,} segments: {rule}")
    splits = Counter(found.table["split"].to_pylist())
    if len(splits) > 1:
        each = ", ".join(f"{count:,} {split or 'without one'}" for split, count in splits.items())
        console.print(f"splits: {each}")
