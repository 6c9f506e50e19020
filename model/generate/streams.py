"""The rules by which two streams go on and end (docs/published-format.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wavemill.model.generate.sampling import Sampling, sample
from wavemill.model.llm.network import LlmOutput
from wavemill.model.prompt.layout import Reply
from wavemill.model.prompt.vocabulary import Vocabulary


class GenerateSettings(BaseModel):
    """How to reply; the defaults are the published ones (docs/published-format.md, "Generation").

    The published code ignores `max_new_tokens` of spoken replies, and cuts replies of more than
    4096 tokens without a word. Here limits hold, and a prompt that leaves no room is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: Reply = Reply.TEXT
    # Of `Reply.BOTH`, speech alone and at once: what goes on from `read_aloud`, where the text has
    # been given already.
    audio_only: bool = False
    audio: Sampling = Sampling()
    text: Sampling = Sampling(repetition_window=16)
    max_new_tokens: int | None = Field(None, ge=1)  # steps; None: what the longest leaves
    longest_text: int = Field(7500, ge=2)  # prompt and reply together, when text is wanted
    longest_both: int = Field(1500, ge=2)  # likewise, when text and speech are
    static_cache: bool = False  # steps of equal shapes; on a GPU they become a CUDA graph
    seed: int = 0

    @property
    def longest(self) -> int:
        return self.longest_text if self.reply is Reply.TEXT else self.longest_both


class NoRoom(ValueError):
    """A prompt and the reply to it would be longer than allowed: says by how much."""


@dataclass(frozen=True)
class Step:
    """What one step added to one reply; None where it added nothing."""

    text: int | None  # text (or special) id of the reply
    code: int | None  # semantic code of the reply, counted from 0
    text_id: int | None  # what the text head chose, None after its end
    audio_id: int | None  # what the audio head chose, its stop id included, None before its start
    stopped: bool = False  # the reply has ended by itself


def budget(prompt: int, settings: GenerateSettings, positions: int) -> int:
    """Return how many steps follow a prompt of so many tokens in a model of `positions`.

    Raises NoRoom.
    """
    longest = min(settings.longest, positions)
    steps = longest - prompt if settings.max_new_tokens is None else settings.max_new_tokens
    if steps < 1:
        raise NoRoom(f"a prompt of {prompt} tokens leaves no room for a reply within {longest}")
    if prompt + steps > positions:
        raise NoRoom(
            f"{prompt} tokens of prompt and {steps} of reply exceed "
            f"the model's {positions} positions"
        )
    return steps


class Streams:
    """The two streams of each row of a batch, one step after another."""

    def __init__(
        self,
        settings: GenerateSettings,
        vocabulary: Vocabulary,
        delay: int,
        limits: Sequence[int],
        device: torch.device,
    ) -> None:
        """`delay` is in steps; `limits` are the steps that each row may take."""
        self.settings, self.vocabulary = settings, vocabulary
        self.delay, self.limits = 0 if settings.audio_only else delay, limits
        rows = len(limits)
        self.steps = 0
        self.done = [False] * rows
        self.audio = self.text = torch.full((rows,), vocabulary.blank, device=device)  # to be fed
        self._text_ended = torch.full((rows,), settings.audio_only, device=device)
        self._recent = {"audio": self.audio[:, None][:, :0], "text": self.text[:, None][:, :0]}
        self._generator = torch.Generator(device).manual_seed(settings.seed)

    def choose(self, output: LlmOutput) -> list[Step | None]:
        """Choose the next ids, (rows,) each, from the scores of the last position.

        Returns what each row's reply got, None for rows that are done.
        """
        names, ended = self.vocabulary, self._text_ended
        text = self._sample("text", output.text_logits[:, -1])
        self.text = torch.where(ended, names.blank, text)
        self._text_ended = ended | (self.text == names.text_eos)
        # Audio says nothing during the delay, which can therefore not end the reply either.
        speaks = self.settings.reply is Reply.BOTH and self.steps >= self.delay
        if speaks:
            self.audio = self._sample("audio", output.audio_logits[:, -1])
        else:
            self.audio = torch.full_like(self.audio, names.blank)
        self._remember()
        self.steps += 1
        chosen = torch.stack([self.text, self.audio, self._text_ended.long()]).tolist()
        return [
            None if self.done[row] else self._step(row, text_id, audio_id, bool(over), speaks)
            for row, (text_id, audio_id, over) in enumerate(zip(*chosen, strict=True))
        ]

    def _step(self, row: int, text: int, audio: int, ended: bool, speaks: bool) -> Step:
        names = self.vocabulary
        text_id = None if ended else text
        audio_id = audio if speaks else None
        stopped = ended if self.settings.reply is Reply.TEXT else audio_id in names.stops_audio
        self.done[row] = stopped or self.steps >= self.limits[row]
        return Step(
            text=text_id if text_id is not None and text_id < names.audio_offset else None,
            code=audio - names.audio_offset if speaks and audio >= names.audio_offset else None,
            text_id=text_id,
            audio_id=audio_id,
            stopped=stopped,
        )

    def _sample(self, stream: str, logits: Tensor) -> Tensor:
        settings: Sampling = getattr(self.settings, stream)
        return sample(logits, self._recent[stream], settings, self._generator)

    def _remember(self) -> None:
        for stream, ids in (("audio", self.audio), ("text", self.text)):
            settings: Sampling = getattr(self.settings, stream)
            if settings.penalises:
                recent = torch.cat([self._recent[stream], ids[:, None]], 1)
                self._recent[stream] = recent[:, -(settings.repetition_window + 1) :]
