"""The ways in which `wavemill resynthesise` synthesises a segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from wavemill.model.assistant import Assistant
from wavemill.model.audio import griffin_lim, vocoder_log_mel
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.evaluate.speech import Speak, Take, read_takes
from wavemill.model.generate.settings import GenerateSettings, NoRoom, Sampling
from wavemill.model.prompt.layout import LayoutError
from wavemill.pipeline.config import ConfigError

VOCODER, GRIFFIN_LIM = "vocoder", "Griffin-Lim"


@dataclass(frozen=True)
class Way:
    """A way of synthesising: a row of the result."""

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

    The last needs a `speaker`. Raises ConfigError if it cannot read the texts, and WeightsError.
    """
    sounded: dict[str, Callable[[Tensor], Tensor]] = {
        VOCODER: partial(_by_vocoder, detokenizer),
        GRIFFIN_LIM: lambda mel: griffin_lim(mel, detokenizer.config.vocoder, seed=seed),
    }

    def recorded(take: Take) -> Tensor:
        return vocoder_log_mel(take.audio, detokenizer.config.vocoder)

    def made(take: Take) -> Tensor:
        noise = torch.Generator().manual_seed(seed)
        return detokenizer.mel(torch.from_numpy(take.tokens), noise)

    sources = [
        ("mel", takes, recorded, True),
        ("tokens", takes, made, True),
        # Read at once: an LLM that cannot is told of before any work.
        *([] if speaker is None else [("text", _read(speaker, takes, seed), made, False)]),
    ]
    yield Way("recordings", takes, lambda take: take.audio)
    for what, some, mel_of, aligned in sources:
        for how, sound in sounded.items():
            yield Way(f"{what}, {how}", some, partial(_said, mel_of, sound), aligned)


def _said(
    mel_of: Callable[[Take], Tensor], sound: Callable[[Tensor], Tensor], take: Take
) -> Tensor:
    return sound(mel_of(take)) if len(take.tokens) else Tensor()  # an LLM may say nothing


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
