"""wavemill resynthesise MODEL: how a detokenizer says a corpus again, heard and measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from jobs.entry import run_command
from pipeline.config import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from model.data.clips import Clip
    from model.detokenizer.detokenizer import Detokenizer
    from model.evaluate.scoring import Scores
    from model.evaluate.speech.resynthesis import Measure, Remade, Speak, Take

HEARD_RATE = 16_000  # Hz, of the engines that listen


def resynthesise(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder with a detokenizer, as RUN/model is.")
    ],
    corpus: Annotated[
        str, typer.Option(help="WORKDIR that curate has built; its segments are said again.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for sounds and figures.")],
    split: Annotated[str, typer.Option(help="Which segments, by the corpus's split.")] = "test",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 200,
    words: Annotated[
        str | None,
        typer.Option(
            help="Every segment is one of these words, parted by commas: PocketSphinx, "
            "restricted to them, is asked which."
        ),
    ] = None,
    sounds: Annotated[int, typer.Option(help="Segments whose sounds are kept.", min=0)] = 20,
    shortest_rated: Annotated[
        float, typer.Option(help="DNSMOS rates segments of so many seconds or more.", min=0)
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the noise that speech is made from.")] = 0,
) -> None:
    """Say recordings again, and print how near and how clear the result is, as Markdown.

    A row per way of speaking: the recordings themselves, their mel frames sounded by the vocoder
    and by Griffin-Lim, and what the flow network makes of their tokens, sounded by both. Means and
    95 % intervals; --out has every segment's figures and WAV files to listen to.

    Example: wavemill resynthesise run/model --corpus work --split test --out heard
    """
    from model.data.clips import ClipSettings, clips_of
    from model.data.corpus import Corpus
    from model.data.source import DataError
    from model.detokenizer.detokenizer import Detokenizer
    from model.evaluate.speech.resynthesis import evaluate, resynthesised, table

    detokenizer = Detokenizer.from_pretrained(model)
    rate = detokenizer.config.vocoder.sampling_rate
    try:
        rows = Corpus.open(corpus, "pretrain", frozenset({split}))
        clips = list(islice(clips_of(rows, ClipSettings()), limit))
    except DataError as error:
        raise ConfigError(f"--corpus: {error}") from None
    if not clips:
        raise ConfigError(f"--split: {corpus} has no segments in {split!r}")
    takes = list(_takes(clips, rate))
    measures = _measures(detokenizer, words, shortest_rated)
    console = Console(stderr=True)
    scores: dict[str, dict[str, Scores]] = {}
    for name, speak in _ways(detokenizer, seed).items():
        shown = track(takes, name, console=console, transient=True)
        remade = list(resynthesised(shown, speak, rate))
        _keep(out, name, remade[:sounds])
        scores[name] = evaluate(remade, measures)
    _write(out, scores)
    typer.echo(f"{len(takes)} segments of {split}\n\n{table(scores)}")


def _takes(clips: list[Clip], rate: int) -> Iterator[Take]:
    from model.data.clips import batch_of
    from model.data.problems import Problems
    from model.evaluate.speech.resynthesis import Take

    for clip in clips:
        batch = batch_of([clip], rate, Problems())  # broken audio is logged and left out
        if batch is not None:
            yield Take(clip.id, clip.text, clip.sound.codes, batch.audio[0])


def _ways(detokenizer: Detokenizer, seed: int) -> dict[str, Speak]:
    import torch

    from model.detokenizer.griffin_lim import griffin_lim
    from model.detokenizer.mel import log_mel

    config = detokenizer.config.vocoder

    @torch.inference_mode()
    def vocoder(mel: torch.Tensor) -> torch.Tensor:
        return detokenizer.vocoder(mel[None])[0]

    def phases(mel: torch.Tensor) -> torch.Tensor:
        return griffin_lim(mel, config, seed=seed)

    def mel_of(take: Take) -> torch.Tensor:
        return log_mel(take.audio, config)

    def made_mel(take: Take) -> torch.Tensor:
        return detokenizer.mel(torch.from_numpy(take.tokens), torch.Generator().manual_seed(seed))

    return {
        "recordings": lambda take: take.audio,
        "mel, vocoder": lambda take: vocoder(mel_of(take)),
        "mel, Griffin-Lim": lambda take: phases(mel_of(take)),
        "tokens, vocoder": lambda take: vocoder(made_mel(take)),
        "tokens, Griffin-Lim": lambda take: phases(made_mel(take)),
    }


def _measures(detokenizer: Detokenizer, words: str | None, shortest: float) -> list[Measure]:
    from model.evaluate.speech.resynthesis import heard_right, mel_distance, rated
    from stages.filter.dnsmos import Dnsmos, DnsmosConfig

    dnsmos = Dnsmos(DnsmosConfig(shortest_seconds=shortest))
    dnsmos.load("cpu")

    def quality(audio: np.ndarray) -> float | None:
        (found,) = dnsmos.quality([audio])
        return None if found is None else found.overall

    measures = [
        mel_distance(detokenizer.config.vocoder),
        rated("dnsmos_overall", _at_heard_rate(quality)),
    ]
    if words is not None:
        from stages.transcribe.closed_set import ClosedSet

        try:
            closed = ClosedSet([word.strip() for word in words.split(",")])
        except ValueError as error:
            raise ConfigError(f"--words: {error}") from None
        measures.append(heard_right(_at_heard_rate(closed.hear)))
    return measures


def _at_heard_rate(listen: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray, int], Any]:
    from stages.audio.resample import resample

    return lambda audio, rate: listen(resample(audio, rate, HEARD_RATE))


def _keep(out: Path, way: str, remade: list[Remade]) -> None:
    import soundfile

    folder = out / "sounds" / way.replace(", ", "-").replace(" ", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    for one in remade:
        name = f"{one.item_id.replace('/', '_')}.wav"
        soundfile.write(folder / name, one.made.numpy().clip(-1, 1), one.sample_rate)


def _write(out: Path, scores: dict[str, dict[str, Scores]]) -> None:
    with (out / "segments.jsonl").open("w", encoding="utf-8") as file:
        for way, measures in scores.items():
            for measure, found in measures.items():
                for verdict in found.verdicts:
                    line = {
                        "way": way,
                        "measure": measure,
                        "segment_id": verdict.item_id,
                        "value": verdict.value,
                        "note": verdict.note,
                    }
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    run_command(resynthesise)
