"""The ways in which `wavemill resynthesise` says a segment again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model.assistant import Assistant
from model.detokenizer.detokenizer import Detokenizer
from model.detokenizer.griffin_lim import griffin_lim
from model.detokenizer.mel import log_mel
from model.evaluate.speech.reading import read_takes
from model.evaluate.speech.resynthesis import Speak, Take
from model.generate.sampling import Sampling
from model.generate.streams import GenerateSettings, NoRoom
from model.prompt.layout import LayoutError
from pipeline.config import ConfigError

VOCODER, GRIFFIN_LIM = "vocoder", "Griffin-Lim"


@dataclass(frozen=True)
class Way:
    """A row of the result."""

    name: str
    takes: Sequence[Take]
    speak: Speak
    aligned: bool = True  # what is said lasts as long as the recording


@dataclass(frozen=True)
class Speaker:
    """An LLM that learnt to read aloud, and how its codes are drawn."""

    folder: Path
    temperature: float
    top_k: int


def ways(
    detokenizer: Detokenizer, takes: Sequence[Take], speaker: Speaker | None, seed: int
) -> Iterator[Way]:
    """Yield the recordings, then what is made from their mel, their tokens and their texts.

    The texts' own are what `speaker` says, if there is one. Raises ConfigError where it cannot read
    them, and WeightsError.
    """
    sounded = {
        VOCODER: partial(_by_vocoder, detokenizer),
        GRIFFIN_LIM: lambda mel: griffin_lim(mel, detokenizer.config.vocoder, seed=seed),
    }

    def recorded(take: Take) -> Tensor:
        return log_mel(take.audio, detokenizer.config.vocoder)

    def made(take: Take) -> Tensor:
        noise = torch.Generator().manual_seed(seed)
        return detokenizer.mel(torch.from_numpy(take.tokens), noise)

    yield Way("recordings", takes, lambda take: take.audio)
    for how, sound in sounded.items():
        yield Way(f"mel, {how}", takes, lambda take, sound=sound: sound(recorded(take)))  # type: ignore[misc]
    for how, sound in sounded.items():
        yield Way(f"tokens, {how}", takes, lambda take, sound=sound: sound(made(take)))  # type: ignore[misc]
    if speaker is not None:
        read = _read(speaker, takes, seed)
        for how, sound in sounded.items():
            yield Way(
                f"text, {how}",
                read,
                lambda take, sound=sound: sound(made(take)) if len(take.tokens) else Tensor(),  # type: ignore[misc]
                aligned=False,
            )


@torch.inference_mode()
def _by_vocoder(detokenizer: Detokenizer, mel: Tensor) -> Tensor:
    return detokenizer.vocoder(mel[None])[0]


def _read(speaker: Speaker, takes: Sequence[Take], seed: int) -> list[Take]:
    assistant = Assistant.from_pretrained(speaker.folder, speaks=False)
    drawn = Sampling(temperature=speaker.temperature, top_k=speaker.top_k)
    try:
        return list(read_takes(assistant, takes, GenerateSettings(audio=drawn, seed=seed)))
    except (LayoutError, NoRoom) as error:
        raise ConfigError(f"--speaker: {error}") from None
