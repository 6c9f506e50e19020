"""wavemill resynthesise MODEL: measure how well a detokenizer reproduces a corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import track

from wavemill.jobs import places
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal

if TYPE_CHECKING:
    import numpy as np

    from wavemill.model.data.clips import SpeechClip
    from wavemill.model.detokenizer.detokenizer import Detokenizer
    from wavemill.model.evaluate.scoring import Scores
    from wavemill.model.evaluate.speech import Measure, Remade, Take

HEARD_RATE = 16_000  # Hz, of the engines that listen
ENDING = 8  # tokens that an answer may have beyond the bytes of the longest text


def resynthesise(
    model: Annotated[
        Path,
        typer.Argument(
            parser=places.path,
            metavar="MODEL",
            help="Folder with a detokenizer, as RUN/model is.",
        ),
    ],
    corpus: Annotated[
        str,
        typer.Option(
            parser=places.place,
            metavar="WORKDIR",
            help="WORKDIR that curate has built; its segments are synthesised again.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            parser=places.folder,
            metavar="FOLDER",
            help="Folder for audio and figures.",
        ),
    ],
    split: Annotated[str, typer.Option(help="Split of the corpus.")] = "test",
    limit: Annotated[int, typer.Option(help="Number of segments, at most.", min=1)] = 200,
    words: Annotated[
        str | None,
        typer.Option(
            help="Words, separated by commas, of which every segment is one: Whisper tiny.en is "
            "asked which of them is the likeliest."
        ),
    ] = None,
    speaker: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FOLDER",
            help="Folder of an LLM that learnt the task tts; it reads the texts aloud too.",
        ),
    ] = None,
    listener: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FOLDER",
            help="Folder of an audio LLM that transcribes the result.",
        ),
    ] = None,
    instruction: Annotated[
        str, typer.Option(help="Instruction for the listener, in words that it learnt.")
    ] = "Please transcribe the spoken content into written text.",
    speaker_temperature: Annotated[
        float,
        typer.Option(help="Temperature of the speaker's codes; 0: always the best one.", min=0),
    ] = 0.8,
    speaker_top_k: Annotated[
        int, typer.Option(help="The speaker draws among the best N codes; 0: among all.", min=0)
    ] = 10,
    sounds: Annotated[
        int, typer.Option(help="Number of segments whose audio is kept.", min=0)
    ] = 20,
    shortest_rated: Annotated[
        float,
        typer.Option(help="DNSMOS rates segments of this length or longer, in seconds.", min=0),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(help="Seed of the noise from which speech is generated.")
    ] = 0,
) -> None:
    """Synthesise recordings again, and print how similar and how clear the result is, as Markdown.

    There is a row for the recordings themselves, and for each of these with the vocoder and with
    Griffin-Lim: their mel frames; what the flow network makes of their tokens; and of the tokens
    with which --speaker reads their texts. Figures are means with 95 % intervals; --out gets those
    of every segment, and WAV files to listen to.

    Examples:

    wavemill resynthesise voice/model --corpus work --split test --out heard

    wavemill resynthesise voice/model --corpus work --speaker speak/model --listener hear/model
    --out heard
    """
    from wavemill.model.data.clips import ClipSettings, clips_of
    from wavemill.model.data.corpus import Corpus
    from wavemill.model.data.source import DataError
    from wavemill.model.detokenizer.detokenizer import Detokenizer
    from wavemill.model.evaluate.speech import evaluate, resynthesised, table
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.resynthesis_ways import Speaker, ways

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
    if listener is not None:
        longest = max(len(take.text.encode()) for take in takes)
        measures.append(_heard_by_model(listener, instruction, longest + ENDING))
    reader = None if speaker is None else Speaker(speaker, speaker_temperature, speaker_top_k)
    console = Terminal(stderr=True)
    scores: dict[str, dict[str, Scores]] = {}
    for way in ways(detokenizer, takes, reader, seed):
        shown = track(way.takes, way.name, console=console, transient=True)
        remade = list(resynthesised(shown, way.speak, rate, way.aligned))
        _keep(out, way.name, remade[:sounds])
        with console.status(f"{way.name}: measured"):
            scores[way.name] = evaluate(remade, measures)
    _write(out, scores)
    typer.echo(f"{len(takes)} segments of {split}\n\n{table(scores)}")


def _takes(clips: list[SpeechClip], rate: int) -> Iterator[Take]:
    from wavemill.model.data.clips import batch_of
    from wavemill.model.data.source import Problems
    from wavemill.model.evaluate.speech import Take

    for clip in clips:
        batch = batch_of([clip], rate, Problems())  # broken audio is logged and left out
        if batch is not None:
            yield Take(clip.id, clip.text, clip.sound.codes, batch.audio[0])


def _measures(detokenizer: Detokenizer, words: str | None, shortest: float) -> list[Measure]:
    from wavemill.model.evaluate.speech import heard_right, mel_distance, rated
    from wavemill.pipeline.config import ConfigError
    from wavemill.stages.score_audio.dnsmos import Dnsmos, DnsmosConfig

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
        from wavemill.stages.transcribe.closed_set import ClosedSet

        try:
            closed = ClosedSet([word.strip() for word in words.split(",")])
        except ValueError as error:
            raise ConfigError(f"--words: {error}") from None
        measures.append(heard_right(_at_heard_rate(closed.hear)))
    return measures


def _heard_by_model(folder: Path, instruction: str, longest: int) -> Measure:
    """Return a measure of whether a model transcribes a segment right, in `longest` tokens."""
    from wavemill.model.evaluate.models.answering import ModelError, ModelInput
    from wavemill.model.evaluate.models.assistant import AssistantModel
    from wavemill.model.evaluate.recipes.recipe import Decoding, load_recipe
    from wavemill.model.evaluate.speech import heard_right
    from wavemill.pipeline.config import ConfigError

    asked = load_recipe("plain").model_copy(update={"decoding": Decoding(max_new_tokens=longest)})
    try:
        model = AssistantModel(str(folder), asked)
    except ModelError as error:
        raise ConfigError(f"--listener: {error}") from None

    def hear(audio: np.ndarray) -> str:
        (answer,) = model.answer([ModelInput("", instruction, audio=audio)])
        return answer.text

    return heard_right(_at_heard_rate(hear), "heard_by_model")


def _at_heard_rate(listen: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray, int], Any]:
    from wavemill.stages.audio.resample import resample

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
                for item_score in found.item_scores:
                    line = {
                        "way": way,
                        "measure": measure,
                        "segment_id": item_score.item_id,
                        "value": item_score.value,
                        "note": item_score.note,
                    }
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    run_command(resynthesise)
