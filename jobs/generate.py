"""wavemill generate MODEL: answer a recording, or read a text aloud."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavemill.jobs import options, places
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_model_packages
from wavemill.jobs.plain import printable

if TYPE_CHECKING:
    import numpy as np

    from wavemill.model.assistant import Assistant, ReplyPiece
    from wavemill.model.detokenizer.history import History
    from wavemill.model.prompt.layout import TokenMessage

FORMATS = (".wav", ".flac")
Output = Literal["text", "both"]


def generate(
    source: options.Model,
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="Recording, in any format; repeatable, in this order.",
        ),
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="Instruction in words; comes before the recordings.")
    ] = None,
    say: Annotated[
        str | None,
        typer.Option(
            help="Text to read aloud, in place of a conversation, for a model that was pre-trained "
            "with the task tts."
        ),
    ] = None,
    output: Annotated[Output, typer.Option(help="Text, or both text and speech.")] = "text",
    out: Annotated[
        Path,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="File for the speech: WAV or FLAC, 24 kHz, mono.",
        ),
    ] = Path("reply.wav"),
    voice: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="Recording of the voice to imitate, up to 15 s; 3 s are enough.",
        ),
    ] = None,
    voice_text: Annotated[
        str | None,
        typer.Option(
            help="With --say and --voice: what is said in that recording. [default: what the "
            "profile's transcriber hears; '': only its sound is imitated]",
        ),
    ] = None,
    profile: options.Profile = "embedded",
    semantic: options.Semantic = None,
    detokenizer: options.Detokenizer = None,
    device: options.Device = "cpu",
    dtype: Annotated[
        options.Precision, typer.Option(help="Data type of the LLM's weights.")
    ] = "stored",
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help="Limit of the reply, in steps; one step is 80 ms of speech.", min=1),
    ] = None,
    text_temperature: Annotated[float, typer.Option(help="0: always the best token.", min=0)] = 0.0,
    text_top_k: Annotated[
        int, typer.Option(help="Draw among the best N tokens; 0: among all.", min=0)
    ] = 5,
    audio_temperature: Annotated[
        float, typer.Option(help="0: always the best token.", min=0)
    ] = 0.8,
    audio_top_k: Annotated[
        int, typer.Option(help="Draw among the best N tokens; 0: among all.", min=0)
    ] = 10,
    seed: options.Seed = 0,
) -> None:
    """Print a model's reply while it is generated, and write its speech to a file.

    The text goes to standard output, everything else to standard error.

    Examples:

    wavemill generate model/ --audio talk.mp3 --instruction "Summarise what is said."

    wavemill generate model/ --audio question.wav --output both --out answer.wav --voice me.wav

    wavemill generate speak/model --say seven --detokenizer voice/model --out seven.wav

    wavemill generate speak/model --say "Good morning." --voice me.wav --voice-text "Where to now?"

    A model that was pre-trained on the task tts, or better on tts_with_reference, reads a text in a
    voice that it never heard: the recording, its tokens and its words, is put before the text, as
    an earlier sentence of the same speaker, and the detokenizer is given its sound.
    """
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.library.sound import SAMPLE_RATE, sound_of

    need_model_packages()
    import torch

    from wavemill.model.assistant import Assistant, Message
    from wavemill.model.generate.settings import GenerateSettings, Sampling
    from wavemill.model.prompt.layout import Reply, Role

    if say is not None and (audio or instruction is not None):
        raise ConfigError("--say: a text to read aloud has no --audio and no --instruction")
    if not audio and instruction is None and say is None:
        raise ConfigError("there is nothing to answer: give --audio, --instruction, or --say")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device: there is no {device!r} here")
    speaks = say is not None or output == "both"
    if speaks:
        check_out(out)
    messages = [] if instruction is None else [Message(Role.USER, text=instruction)]
    messages += [Message(Role.USER, audio=sound_of(path, SAMPLE_RATE)) for path in audio or ()]
    wanted = None if dtype == "stored" else getattr(torch, dtype)
    try:
        settings = GenerateSettings(
            reply=Reply(output),
            text=Sampling(temperature=text_temperature, top_k=text_top_k, repetition_window=16),
            audio=Sampling(temperature=audio_temperature, top_k=audio_top_k),
            max_new_tokens=max_new_tokens,
            seed=seed,
        )
        assistant = Assistant.from_pretrained(source, device, wanted, semantic, speaks, detokenizer)
        sounds_like = _voice(assistant, voice) if voice is not None and speaks else None
        if say is None:
            pieces = assistant.reply(messages, settings, sounds_like)
        else:
            spoken = None if voice is None else _reference(assistant, voice, voice_text, profile)
            pieces = assistant.say(say, settings, sounds_like, spoken)
        said = _printed(pieces, words=say is None)
    except ValueError as error:  # what the parts say of a prompt, a voice or a setting
        raise ConfigError(" ".join(str(error).split())) from None
    if assistant.detokenizer is not None:
        write_sound(out, said, assistant.detokenizer.config.vocoder.sampling_rate)


def check_out(path: Path) -> None:
    """Raise ConfigError, before any work, if `path` cannot become a file of audio."""
    from wavemill.pipeline.config import ConfigError

    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {path.absolute().parent}")
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out: the name of {path} must end in {' or '.join(FORMATS)}")


def _voice(assistant: Assistant, path: Path) -> History:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.library.sound import SAMPLE_RATE, sound_of

    assert assistant.detokenizer is not None
    rate = assistant.detokenizer.config.vocoder.sampling_rate
    try:
        return assistant.voice(sound_of(path, SAMPLE_RATE), sound_of(path, rate))
    except ValueError as error:
        raise ConfigError(f"--voice: {path}: {error}") from None


def _reference(
    assistant: Assistant, path: Path, words: str | None, profile: str
) -> TokenMessage | None:
    """Return a recording as what stands before a text; None if it is to have no words."""
    from wavemill.pipeline.library.sound import SAMPLE_RATE, sound_of
    from wavemill.pipeline.listeners import heard_in

    if words is None:
        words = heard_in(path, profile)
        typer.echo(f"--voice: {path} says: {words}", err=True)
    return assistant.reference(sound_of(path, SAMPLE_RATE), words) if words.strip() else None


def _printed(pieces: Iterable[ReplyPiece], words: bool) -> np.ndarray:
    """Print the text of a reply piece by piece, if `words`, and return its audio."""
    import numpy as np

    said, complete = [], False
    for piece in pieces:
        if words:
            typer.echo(printable(piece.text), nl=False)
        said.append(piece.audio.numpy())
        complete = piece.complete
    if words:
        typer.echo()
    if not complete:
        typer.echo("the reply was cut at its limit; --max-new-tokens sets it", err=True)
    return np.concatenate(said)


def write_sound(path: Path, sound: np.ndarray, rate: int) -> None:
    """Write speech, float32 (samples,), and say so. Raises ConfigError."""
    import soundfile

    from wavemill.pipeline.config import ConfigError

    try:
        soundfile.write(path, sound.clip(-1, 1), rate)
    except (OSError, soundfile.SoundFileError) as error:
        raise ConfigError(f"--out: cannot write {path}: {error}") from None
    typer.echo(f"{len(sound) / rate:.2f} s of speech in {path}", err=True)


if __name__ == "__main__":
    run_command(generate)
