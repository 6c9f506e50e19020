"""Replies to prompts: fill the cache with the prompt, then decode both streams step by step.

Each step, `ReplyStreams.choose` picks the next id of the text stream and of the audio stream from
the scores behind the last position, and the network reads the two ids that were picked. The rules
and the sampler are those of the published code (docs/published-format.md, "Generation").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wavemill.model.generate.graphs import decoding_step
from wavemill.model.llm.cache import KeyValueCache
from wavemill.model.llm.network import AudioLlm, LlmOutput
from wavemill.model.prompt.layout import Reply, Vocabulary

GREEDY_BELOW = 1e-6  # temperatures up to here take the best token


class Sampling(BaseModel):
    """How the tokens of a stream are drawn; by default the best token is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(0.0, ge=0)
    top_k: int = Field(5, ge=0)  # draw among so many; 0: among all
    repetition_penalty: float = Field(1.0, ge=0)  # of tokens seen lately; up to 1: none
    repetition_window: int = Field(64, ge=1)  # tokens back; no penalty until there are more

    @property
    def penalises(self) -> bool:
        return self.repetition_penalty > 1.0


class GenerateSettings(BaseModel):
    """How to reply; the defaults are the published ones, except for the limits.

    The published code ignores `max_new_tokens` for spoken replies, and silently cuts replies of
    more than 4096 tokens. Here limits hold, and a prompt that leaves no room is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: Reply = Reply.TEXT
    # With `Reply.BOTH`: only speech, without delay. For prompts of `read_aloud`, which already
    # contain the text.
    audio_only: bool = False
    audio: Sampling = Sampling()
    text: Sampling = Sampling(repetition_window=16)
    max_new_tokens: int | None = Field(None, ge=1)  # steps; None: up to `longest`
    longest_text: int = Field(7500, ge=2)  # tokens of prompt and reply, for text replies
    longest_both: int = Field(1500, ge=2)  # the same, for text with speech
    static_cache: bool = False  # steps of equal shapes; on a GPU they become a CUDA graph
    seed: int = 0

    @property
    def longest(self) -> int:
        return self.longest_text if self.reply is Reply.TEXT else self.longest_both


class NoRoom(ValueError):
    """A prompt and its reply would be longer than allowed; the message says by how much."""


@dataclass(frozen=True)
class LlmPrompt:
    """The tensors of one prompt: two streams of equal length, and the features of its audio."""

    audio_ids: Tensor  # int64 (positions,)
    text_ids: Tensor  # int64 (positions,)
    continuous: Tensor  # bool (positions,): where acoustic features are added
    features: Sequence[Tensor] = ()  # one per audio segment, float (rows, feature_width)


@dataclass(frozen=True)
class PromptBatch:
    """Several prompts, as the arguments of `AudioLlm.forward`; see there."""

    audio_ids: Tensor
    text_ids: Tensor
    continuous: Tensor
    features: Tensor | None
    attention_mask: Tensor | None  # None when no row is padded
    position_ids: Tensor

    def to(self, device: str | torch.device) -> PromptBatch:
        """Return a copy on another device."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {n: None if t is None else t.to(device) for n, t in given.items()}
        return PromptBatch(**moved)


@dataclass(frozen=True)
class ReplyStep:
    """What one step adds to one reply; None where it adds nothing."""

    text: int | None  # text (or special) id of the reply
    code: int | None  # semantic code of the reply, counted from 0
    text_id: int | None  # what the text head chose; None after the text has ended
    audio_id: int | None  # what the audio head chose, also a stop id; None during the delay
    stopped: bool = False  # the reply ended by itself in this step


@dataclass
class GeneratedReply:
    """A reply: ids of the text tokenizer, and semantic codes (12.5 a second, counted from 0)."""

    text: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    complete: bool = False  # it ended by itself, not at a limit

    def add(self, step: ReplyStep) -> None:
        if step.text is not None:
            self.text.append(step.text)
        if step.code is not None:
            self.codes.append(step.code)
        self.complete = step.stopped


def generate(
    network: AudioLlm, prompts: Sequence[LlmPrompt], settings: GenerateSettings | None = None
) -> list[GeneratedReply]:
    """Return the reply to each prompt; all prompts are decoded together.

    With the best tokens, a reply does not depend on what it is batched with. Raises NoRoom when a
    prompt is too long.
    """
    replies = [GeneratedReply() for _ in prompts]
    for steps in decode(network, prompts, settings):
        for reply, step in zip(replies, steps, strict=True):
            if step is not None:
                reply.add(step)
    return replies


def stream(
    network: AudioLlm, prompt: LlmPrompt, settings: GenerateSettings | None = None
) -> Iterator[ReplyStep]:
    """Yield what each step adds to the reply to one prompt, as it comes. Raises NoRoom."""
    for (step,) in decode(network, [prompt], settings):
        assert step is not None
        yield step


@torch.inference_mode()
def decode(
    network: AudioLlm, prompts: Sequence[LlmPrompt], settings: GenerateSettings | None = None
) -> Iterator[list[ReplyStep | None]]:
    """Yield, step by step, what is added to the reply to each prompt; None once it has ended.

    Acoustic features go in with the prompt; later steps read ids alone. Prompts are padded on the
    left, and positions count from the first real token of each row. Raises NoRoom.
    """
    settings, config = settings or GenerateSettings(), network.config
    vocabulary = Vocabulary(config.text_vocab, config.audio_offset)
    limits = [
        budget(len(prompt.audio_ids), settings, config.max_position_embeddings)
        for prompt in prompts
    ]
    device = next(network.parameters()).device
    batch = collate(prompts, vocabulary.pad, left=True).to(device)
    steps, length = max(limits), batch.audio_ids.shape[1]
    cache = KeyValueCache(length + steps - 1 if settings.static_cache else None)
    streams = ReplyStreams(settings, vocabulary, config.audio_delay, limits, device)
    output = network(
        batch.audio_ids,
        batch.text_ids,
        features=batch.features,
        continuous=batch.continuous,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        cache=cache,
        last_only=True,
    )
    positions = batch.position_ids[:, -1:]
    step = decoding_step(network, cache, batch.attention_mask)
    while True:
        yield streams.choose(output)
        if all(streams.done):
            return
        positions = positions + 1
        output = step(streams.audio[:, None], streams.text[:, None], positions)


def budget(prompt: int, settings: GenerateSettings, positions: int) -> int:
    """Return how many steps may follow a prompt of `prompt` tokens in a model of `positions`.

    Raises NoRoom when there is room for none, or for fewer than `max_new_tokens`.
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


class ReplyStreams:
    """The text stream and the audio stream of each row of a batch, and the rules for their end."""

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
        # The ids that the network reads next, int64 (rows,).
        self.audio = self.text = torch.full((rows,), vocabulary.blank, device=device)
        self._text_ended = torch.full((rows,), settings.audio_only, device=device)
        self._recent = {"audio": self.audio[:, None][:, :0], "text": self.text[:, None][:, :0]}
        self._generator = torch.Generator(device).manual_seed(settings.seed)

    def choose(self, output: LlmOutput) -> list[ReplyStep | None]:
        """Choose the next ids from the scores of the last position.

        Returns what is added to the reply of each row, None for rows that are done.
        """
        names, ended = self.vocabulary, self._text_ended
        text = self._sample("text", output.text_logits[:, -1])
        self.text = torch.where(ended, names.blank, text)
        self._text_ended = ended | (self.text == names.text_eos)
        # During the delay the audio stream is blank, so it cannot end the reply either.
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

    def _step(self, row: int, text: int, audio: int, ended: bool, speaks: bool) -> ReplyStep:
        names = self.vocabulary
        text_id = None if ended else text
        audio_id = audio if speaks else None
        stopped = ended if self.settings.reply is Reply.TEXT else audio_id in names.stops_audio
        self.done[row] = stopped or self.steps >= self.limits[row]
        return ReplyStep(
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


def sample(
    logits: Tensor, recent: Tensor, settings: Sampling, generator: torch.Generator | None = None
) -> Tensor:
    """Return one id per row, int64 (rows,), from `logits` (rows, vocabulary) of any float dtype.

    `recent`, int64 (rows, steps), are the ids that the stream has read so far. Unlike the
    published sampler, this one leaves `logits` unchanged and penalises every row of a batch.
    Raises ValueError when top_k exceeds the vocabulary.
    """
    scores = penalised(logits, recent, settings)
    if settings.temperature <= GREEDY_BELOW:
        return scores.float().log_softmax(-1).argmax(-1)
    weights, ids = candidates(scores, settings)
    drawn = torch.multinomial(weights, 1, generator=generator)
    return ids.gather(1, drawn).squeeze(1)


def penalised(logits: Tensor, recent: Tensor, settings: Sampling) -> Tensor:
    """Return `logits` (rows, vocabulary) with lower scores for the last window of `recent` ids.

    An id that occurs several times in the window is penalised once.
    """
    if not settings.penalises or recent.shape[1] <= settings.repetition_window:
        return logits
    ids = recent[:, -settings.repetition_window :].long()
    scores = logits.gather(1, ids)
    penalty = settings.repetition_penalty
    return logits.scatter(1, ids, torch.where(scores < 0, scores * penalty, scores / penalty))


def candidates(logits: Tensor, settings: Sampling) -> tuple[Tensor, Tensor]:
    """Return weights, float32 (rows, top_k), and ids of the tokens to draw from, best first.

    The weights are powers of probabilities and do not add up to one; the draw normalises them.
    Raises ValueError when top_k exceeds the vocabulary.
    """
    if settings.top_k > logits.shape[1]:
        raise ValueError(f"top_k is {settings.top_k}, the vocabulary has {logits.shape[1]} ids")
    weights = (logits.float().log_softmax(-1) / settings.temperature).exp()
    return weights.topk(settings.top_k or logits.shape[1])


def collate(prompts: Sequence[LlmPrompt], pad: int, left: bool = False) -> PromptBatch:
    """Pad prompts to the longest with id `pad`, on the right or on the `left` (to generate).

    Positions restart at the first real token of each row, so that a row gives the same result as
    alone. Raises ValueError when the features of a segment do not fit (see `pack`).
    """
    longest = max(len(prompt.audio_ids) for prompt in prompts)

    def stack(rows: Sequence[Tensor], value: int) -> Tensor:
        padded = []
        for row in rows:
            gap = longest - len(row)
            sides = (gap, 0) if left else (0, gap)
            padded.append(torch.nn.functional.pad(row, sides, value=value))
        return torch.stack(padded)

    real = stack([torch.ones_like(prompt.audio_ids) for prompt in prompts], 0)
    packed = [pack(prompt.continuous, prompt.features) for prompt in prompts if prompt.features]
    continuous = stack([p.continuous & bool(p.features) for p in prompts], 0).bool()
    return PromptBatch(
        audio_ids=stack([prompt.audio_ids for prompt in prompts], pad),
        text_ids=stack([prompt.text_ids for prompt in prompts], pad),
        continuous=continuous,
        features=torch.cat(packed) if packed else None,
        attention_mask=None if real.all() else real,
        position_ids=(real.cumsum(1) - 1).clamp_min(0),
    )


def pack(continuous: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the features of one row, one after another, (continuous positions, feature_width).

    The i-th run of True in `continuous`, bool (positions,), is the i-th audio segment and takes
    the first rows of the i-th feature; the rest of its rows are dropped, as in the published code.
    Raises ValueError when a feature has fewer rows than its segment has positions, or when there
    are more or fewer segments than features.
    """
    bounds = torch.diff(torch.nn.functional.pad(continuous.to(torch.int8), (1, 1)))
    starts, ends = (torch.nonzero(bounds == sign).flatten().tolist() for sign in (1, -1))
    if len(starts) != len(features):
        raise ValueError(f"{len(features)} features for {len(starts)} audio segments")
    rows = []
    for number, (start, end, feature) in enumerate(zip(starts, ends, features, strict=True)):
        if len(feature) < end - start:
            raise ValueError(
                f"segment {number} has {end - start} positions, its feature {len(feature)} rows"
            )
        rows.append(feature[: end - start])
    return torch.cat(rows) if rows else torch.zeros(0, 0)
