"""wavemill generate MODEL: what an audio LLM answers to an instruction and a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.entry import run_command

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 16_000  # Hz, what the model hears
Output = Literal["text", "both"]
Precision = Literal["stored", "float32", "bfloat16", "float16"]


def generate(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a model, or a hub id (owner/name).")
    ],
    audio: Annotated[
        list[Path] | None, typer.Option(help="Recording to listen to; repeatable.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="What to do, in words.")] = None,
    output: Annotated[Output, typer.Option(help="Text, or both text and speech.")] = "text",
    out: Annotated[Path, typer.Option(help="Where speech is written.")] = Path("reply.wav"),
    semantic: Annotated[
        str | None,
        typer.Option(help="Semantic tokenizer, if not in MODEL: a folder or hub id."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Of the LLM's weights.")] = "stored",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Steps, of 80 ms where it speaks.", min=1)
    ] = None,
    text_temperature: Annotated[float, typer.Option(help="0: the best token.", min=0)] = 0.0,
    text_top_k: Annotated[int, typer.Option(help="Draw among so many; 0: all.", min=0)] = 5,
    audio_temperature: Annotated[float, typer.Option(help="0: the best token.", min=0)] = 0.8,
    audio_top_k: Annotated[int, typer.Option(help="Draw among so many; 0: all.", min=0)] = 10,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """Print a model's reply while it is made, and write down what it says.

    Example: wavemill generate model/ --audio question.wav --output both --out answer.wav
    """
    if not audio and instruction is None:
        raise typer.BadParameter("give --audio, --instruction, or both")
    import soundfile
    import torch

    from model.assistant import Assistant, Turn
    from model.checkpoint import WeightsError
    from model.generate.sampling import Sampling
    from model.generate.streams import GenerateSettings
    from model.prompt.layout import Reply, Role

    turns = [] if instruction is None else [Turn(Role.USER, text=instruction)]
    turns += [Turn(Role.USER, audio=_heard(path)) for path in audio or ()]
    settings = GenerateSettings(
        reply=Reply(output),
        text=Sampling(temperature=text_temperature, top_k=text_top_k, repetition_window=16),
        audio=Sampling(temperature=audio_temperature, top_k=audio_top_k),
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    wanted = None if dtype == "stored" else getattr(torch, dtype)
    said, complete = [], False
    try:
        assistant = Assistant.from_pretrained(
            source, device, wanted, semantic, speaks=output == "both"
        )
        for piece in assistant.reply(turns, settings):
            typer.echo(piece.text, nl=False)
            said.append(piece.audio)
            complete = piece.complete
    except (WeightsError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo()
    if not complete:
        typer.echo("the reply was cut at its limit; --max-new-tokens allows more", err=True)
    if assistant.detokenizer is not None:
        rate = assistant.detokenizer.config.vocoder.sampling_rate
        soundfile.write(out, torch.cat(said).clamp(-1, 1).numpy(), rate)
        typer.echo(f"{sum(map(len, said)) / rate:.2f} s of speech in {out}", err=True)


def _heard(path: Path) -> np.ndarray:
    """Return a recording as mono float32 at SAMPLE_RATE."""
    import numpy as np

    from stages.audio.decode import open_audio
    from stages.audio.mixing import tracks_of
    from stages.audio.resample import resample
    from stages.recording_stage import RecordingError

    try:
        with open_audio(str(path)) as opened:
            blocks = tracks_of(opened.blocks, "mix", opened.sample_rate, opened.sample_rate)
            mono = np.concatenate([block[0] for block in blocks])
        return resample(mono, opened.sample_rate, SAMPLE_RATE)
    except RecordingError as error:
        raise typer.BadParameter(f"{path}: {error}") from None


if __name__ == "__main__":
    run_command(generate)
