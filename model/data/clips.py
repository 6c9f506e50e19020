"""Clips of speech with their words and semantic tokens, at the sample rate of a network.

From `pretrain`, or from `sft`: its recognition samples, and all that is said in its conversations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wavemill.model.data.corpus import Conversation, Corpus, Sound
from wavemill.model.data.files import Stored
from wavemill.model.data.sound import SoundError, too_short, waveform_of
from wavemill.model.data.source import Problems

TOKEN_MS = 80
ASSISTANT = "assistant"  # the role, and the speaker of what it says
SPOKEN = "conversation"  # task of conversations that are spoken on both sides
TOKENS_PER_SECOND = 12.5


class ClipSettings(BaseModel):
    """Which clips are used, and how many at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Literal["pretrain", "sft"] = "pretrain"
    # Only this one's, by the column `speaker`; in conversations that is the user's voice, and what
    # the assistant says is of the speaker "assistant".
    speaker: str | None = None
    shortest_s: float = Field(0.1, ge=0)
    longest_s: float = Field(30.0, gt=0)  # longer clips are skipped
    crop_tokens: int | None = Field(None, ge=1)  # a random part of so many tokens; without words
    # So many clips come behind a random part of another clip of their speaker in the window, of at
    # most `prompt_s`: what is learnt with it is to take the voice from there.
    prompt_share: float = Field(0.0, ge=0, le=1)
    prompt_s: float = Field(3.0, gt=0)
    batch_s: float = Field(240.0, gt=0)  # seconds of a micro-batch, padding included
    batch_clips: int = Field(256, ge=1)  # at most
    # Shuffled together; a rank holds its own clips of two such windows, as FLAC.
    window_clips: int = Field(4096, ge=1)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class SpeechClip:
    """One stretch of speech."""

    id: str
    text: str
    speaker: str
    sound: Sound
    stored: Stored | None = field(default=None, compare=False)  # None: in no corpus
    prompt: Prompt | None = None

    @property
    def tokens(self) -> int:
        return len(self.sound.codes)

    @property
    def prompt_tokens(self) -> int:
        return 0 if self.prompt is None else self.prompt.clip.tokens

    def beginning(self, tokens: int) -> SpeechClip:
        """Return the first so many tokens, without words unless that is all."""
        return self if self.tokens <= tokens else self.part(0, tokens)

    def part(self, first: int, tokens: int) -> SpeechClip:
        """Return the tokens from `first` on, without words; the sound stays whole."""
        codes = self.sound.codes[first : first + tokens]
        return replace(self, text="", sound=replace(self.sound, codes=codes))


@dataclass(frozen=True)
class Prompt:
    """A part of another clip of the same speaker, which stands before a clip."""

    clip: SpeechClip  # with the codes of the part, and all of the sound
    first: int  # token that the part begins with


@dataclass(frozen=True)
class ClipBatch:
    """Clips of similar length, filled up with silence and token 0.

    A clip with a prompt begins with it; counts of samples and tokens are those of both together.
    """

    ids: tuple[str, ...]
    units: int  # milliseconds of audio, without padding and prompts
    texts: tuple[str, ...]
    sample_rate: int
    audio: Tensor  # float32 (clips, samples), samples those of the most tokens
    samples: Tensor  # int64 (clips,)
    tokens: Tensor  # int64 (clips, tokens)
    token_counts: Tensor  # int64 (clips,)
    prompt_counts: Tensor  # int64 (clips,), tokens of the prompts; 0: none

    def to(self, device: torch.device) -> Self:
        tensors = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("audio", "samples", "tokens", "token_counts", "prompt_counts")
        }
        return replace(self, **tensors)

    def first(self, count: int) -> ClipBatch:
        """Return a batch of the first `count` clips."""
        return replace(
            self,
            ids=self.ids[:count],
            units=int((self.token_counts - self.prompt_counts)[:count].sum()) * TOKEN_MS,
            texts=self.texts[:count],
            audio=self.audio[:count],
            samples=self.samples[:count],
            tokens=self.tokens[:count],
            token_counts=self.token_counts[:count],
            prompt_counts=self.prompt_counts[:count],
        )


def cut(
    clips: Sequence[SpeechClip], settings: ClipSettings, rng: np.random.Generator
) -> list[list[SpeechClip]]:
    """Return micro-batches of clips of similar length, in random order."""
    shuffled = [clips[i] for i in rng.permutation(len(clips))]
    by_length = sorted(shuffled, key=lambda clip: _used_tokens(clip, settings))
    batches: list[list[SpeechClip]] = []
    room = settings.batch_s * TOKENS_PER_SECOND
    for clip in by_length:
        held = batches[-1] if batches else []
        fits = (len(held) + 1) * _used_tokens(clip, settings) <= room
        if held and fits and len(held) < settings.batch_clips:
            held.append(clip)
        else:
            batches.append([clip])
    return [batches[i] for i in rng.permutation(len(batches))]


def clips_of(corpus: Corpus, settings: ClipSettings) -> Iterator[SpeechClip]:
    """Yield all clips that the settings want, in the order of the corpus."""
    for file in range(len(corpus.files.files)):
        for clip, _ in clips_in(corpus, file, settings, 0):
            yield clip


def batch_of(
    clips: Sequence[tuple[SpeechClip, int] | SpeechClip], sample_rate: int, problems: Problems
) -> ClipBatch | None:
    """Return a batch of clips, or of the parts of them that begin at a token; None if empty.

    A clip whose audio cannot be decoded, or is shorter than its tokens by more than one, is
    counted as a problem and left out.
    """
    per_token = round(sample_rate * TOKEN_MS / 1000)
    kept: list[tuple[SpeechClip, np.ndarray]] = []
    for entry in clips:
        clip, first = entry if isinstance(entry, tuple) else (entry, 0)
        audio = _audio_of(clip, first, sample_rate, problems)
        if audio is None:
            continue
        if clip.prompt is not None:
            before = _audio_of(clip.prompt.clip, clip.prompt.first, sample_rate, problems)
            if before is None:
                clip = replace(clip, prompt=None)
            else:
                whole = np.zeros(clip.prompt_tokens * per_token, np.float32)
                whole[: len(before)] = before
                audio = np.concatenate([whole, audio])
        kept.append((clip, audio))
    if not kept:
        return None
    every = [_codes_of(clip) for clip, _ in kept]
    longest = max(map(len, every))
    sound = torch.zeros(len(kept), longest * per_token)
    tokens = torch.zeros(len(kept), longest, dtype=torch.int64)
    for row, ((_, audio), codes) in enumerate(zip(kept, every, strict=True)):
        sound[row, : len(audio)] = torch.from_numpy(audio)
        tokens[row, : len(codes)] = torch.from_numpy(codes)
    counts = torch.tensor([len(codes) for codes in every])
    prompts = torch.tensor([clip.prompt_tokens for clip, _ in kept])
    return ClipBatch(
        ids=tuple(clip.id for clip, _ in kept),
        units=int((counts - prompts).sum()) * TOKEN_MS,
        texts=tuple(clip.text for clip, _ in kept),
        sample_rate=sample_rate,
        audio=sound,
        samples=torch.tensor([len(audio) for _, audio in kept]),
        tokens=tokens,
        token_counts=counts,
        prompt_counts=prompts,
    )


def prompted(
    batches: Sequence[Sequence[SpeechClip]], settings: ClipSettings, rng: np.random.Generator
) -> list[list[SpeechClip]]:
    """Return micro-batches of which a share of the clips has a prompt, where there is another."""
    by_speaker: dict[str, list[SpeechClip]] = {}
    for clip in (clip for clips in batches for clip in clips):
        by_speaker.setdefault(clip.speaker, []).append(clip)
    most = int(settings.prompt_s * TOKENS_PER_SECOND)
    return [[_prompted(c, by_speaker[c.speaker], settings, most, rng) for c in clips]
            for clips in batches]  # fmt: skip


def _prompted(
    clip: SpeechClip,
    others: Sequence[SpeechClip],
    settings: ClipSettings,
    most: int,
    rng: np.random.Generator,
) -> SpeechClip:
    # Two numbers for each clip, whatever becomes of them.
    drawn, which = rng.random(), int(rng.integers(1 << 31))
    if drawn >= settings.prompt_share or len(others) < 2 or not clip.speaker:
        return clip
    mine = next(n for n, other in enumerate(others) if other.id == clip.id)
    other = others[(mine + 1 + which % (len(others) - 1)) % len(others)]
    first = which % max(1, other.tokens - most + 1)
    return replace(clip, prompt=Prompt(other.part(first, most), first))


def _codes_of(clip: SpeechClip) -> np.ndarray:
    """Return the codes of a clip behind those of its prompt: int64 (tokens,)."""
    parts = ([] if clip.prompt is None else [clip.prompt.clip.sound.codes], [clip.sound.codes])
    return np.concatenate([codes for part in parts for codes in part]).astype(np.int64)


def _audio_of(
    clip: SpeechClip, first: int, sample_rate: int, problems: Problems
) -> np.ndarray | None:
    """Return the audio of a clip's tokens, the first of which is `first`; None, and a problem."""
    per_token = round(sample_rate * TOKEN_MS / 1000)
    try:
        audio = waveform_of(clip.sound.data, sample_rate)
    except SoundError as error:
        problems.add("corrupted_audio", clip.id, str(error).splitlines()[0])
        return None
    audio = audio[first * per_token :][: clip.tokens * per_token]
    if too_short(len(audio), clip.tokens, per_token):
        problems.add("audio_shorter_than_tokens", clip.id)
        return None
    return audio


def clips_in(
    corpus: Corpus, file: int, settings: ClipSettings, start: int
) -> Iterator[tuple[SpeechClip, int]]:
    """Yield the wanted clips of a file and the row behind each."""
    shortest = settings.shortest_s * TOKENS_PER_SECOND
    longest = settings.longest_s * TOKENS_PER_SECOND
    for clip, next_row in _all_in(corpus, file, settings.corpus, start):
        if settings.speaker is not None and clip.speaker != settings.speaker:
            continue
        if not shortest <= clip.tokens <= longest:
            corpus.problems.add("too_long" if clip.tokens > longest else "too_short", clip.id)
            continue
        yield clip, next_row


def _all_in(corpus: Corpus, file: int, kind: str, start: int) -> Iterator[tuple[SpeechClip, int]]:
    if kind == "pretrain":
        for segment in corpus.segments(file, start):
            stored = Stored(file, segment.row)
            clip = SpeechClip(
                segment.segment_id, segment.text, segment.speaker, segment.sound, stored
            )
            yield clip, segment.row + 1
        return
    for conversation in corpus.conversations(file, start):
        for clip in _said_in(conversation, file):
            yield clip, conversation.next_row


def _said_in(conversation: Conversation, file: int) -> Iterator[SpeechClip]:
    """Yield what is recognised in a conversation, or all that is said in one spoken on both sides.

    The user's messages of the latter have no text.
    """
    row, name = conversation.row, conversation.sample_id
    if (found := _recognised(conversation)) is not None:
        message, sound = found
        text = conversation.messages[-1].text or ""
        yield SpeechClip(name, text, "", sound, Stored(file, row, message))
    if conversation.task != SPOKEN:
        return
    for number, message_ in enumerate(conversation.messages):
        if message_.sound is not None:
            speaker = ASSISTANT if message_.role == ASSISTANT else conversation.speaker
            stored = Stored(file, row, number)
            text = message_.text or ""
            yield SpeechClip(f"{name}-{number}", text, speaker, message_.sound, stored)


def _recognised(conversation: Conversation) -> tuple[int, Sound] | None:
    """Return the number and sound of the message that the answer transcribes; None without one."""
    sounds = [
        (number, message.sound)
        for number, message in enumerate(conversation.messages)
        if message.role == "user" and message.sound is not None
    ]
    return sounds[0] if conversation.task == "asr" and len(sounds) == 1 else None


def _used_tokens(clip: SpeechClip, settings: ClipSettings) -> int:
    return min(clip.tokens, settings.crop_tokens or clip.tokens)
