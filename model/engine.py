"""Replies to many conversations at once: the one path from prompts to tokens.

    engine = Engine(network)
    first = engine.add(prompt, settings)
    while engine.busy:
        for piece in engine.step(): ...

Conversations join and leave while others go on. A step reads the prompts that have joined since the
last one, each into slots of its own (`llm/cache.py`), and one more position of every other row; it
gives one piece per row. A row draws with its own settings and seed, and gives what it gives alone.
The rules are those of the published code (docs/published-format.md, "Generation").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from wavemill.model.generate.graphs import CudaGraphs, RecordedSteps
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.sampling import Draws, Stream, chosen
from wavemill.model.generate.settings import GenerateSettings, Sampling, budget
from wavemill.model.llm.cache import Memory
from wavemill.model.llm.network import AudioLlm, LlmOutput, NextIds, Prompts
from wavemill.model.prompt.layout import Reply, Vocabulary

MOST_ROWS = 64  # at once
READ_AT_ONCE = 8192  # positions of prompts in a step, so that other rows do not wait long


@dataclass(frozen=True)
class ReplyStep:
    """What one step adds to one reply; None where it adds nothing."""

    text: int | None  # text (or special) id of the reply
    code: int | None  # semantic code of the reply, counted from 0
    text_id: int | None  # what the text head chose; None after the text has ended
    audio_id: int | None  # what the audio head chose, also a stop id; None during the delay
    stopped: bool = False  # the reply ended by itself in this step
    last: bool = False  # nothing follows: the reply ended by itself, or at its limit


@dataclass(frozen=True)
class Piece:
    """What one step adds to the reply of one conversation."""

    handle: int
    step: ReplyStep


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


class Engine:
    """The rows of one network. It is not safe to call from several threads at a time."""

    def __init__(
        self, network: AudioLlm, most_rows: int = MOST_ROWS, read_at_once: int = READ_AT_ONCE
    ) -> None:
        """`most_rows` go on at once, and others wait for one of them to end.

        In one step, prompts of `read_at_once` positions are read, or a longer one by itself.
        """
        self._network, self._most, self._read_at_once = network, most_rows, read_at_once
        config = network.config
        self._vocabulary = Vocabulary(config.text_vocab, config.audio_offset)
        self._device = next(network.parameters()).device
        self._memory = Memory()
        self._rows: dict[int, _Row] = {}  # by handle
        self._waiting: dict[int, tuple[LlmPrompt, Tensor | None]] = {}  # with packed features
        self._kept: dict[int, deque[ReplyStep]] = {}  # of those that are streamed
        self._handles = 0
        self._branches: tuple[Tensor, Tensor] | None = None  # as in `NextIds`; None: not known
        self._graphs: RecordedSteps | None = None
        if self._device.type == "cuda":
            self._graphs = RecordedSteps(self._whole_step, CudaGraphs(self._device))

    @property
    def busy(self) -> bool:
        """Whether there is a reply that has not ended."""
        return bool(self._rows)

    def add(self, prompt: LlmPrompt, settings: GenerateSettings | None = None) -> int:
        """Take a conversation in; return the handle that its pieces will have.

        Raises NoRoom when the prompt is too long, and ValueError when its features do not fit or a
        top_k exceeds the vocabulary.
        """
        settings, config = settings or GenerateSettings(), self._network.config
        limit = budget(len(prompt.audio_ids), settings, config.max_position_embeddings)
        for sampling in (settings.text, settings.audio):
            if sampling.draws and sampling.top_k > config.vocab_size:
                raise ValueError(
                    f"top_k is {sampling.top_k}, the vocabulary has {config.vocab_size} ids"
                )
        self._handles += 1
        self._waiting[self._handles] = prompt, prompt.packed()
        delay = 0 if settings.audio_only else config.audio_delay
        length = len(prompt.audio_ids)
        self._rows[self._handles] = _Row(self._vocabulary, settings, delay, limit, length)
        return self._handles

    def remove(self, handle: int) -> None:
        """Forget a conversation, whether its reply has ended or not."""
        self._kept.pop(handle, None)
        if self._rows.pop(handle, None) is not None:
            self._waiting.pop(handle, None)
            self._memory.leave(handle)
            self._branches = None

    @torch.inference_mode()
    def step(self) -> list[Piece]:
        """Go one step on with every row that has a place; return a piece of each.

        Conversations whose reply ends are removed. Pieces of those that are streamed are kept for
        `stream` and not returned.
        """
        found: dict[int, ReplyStep] = {}
        if self._memory.trunk.owners:
            found |= self._settled(self._advance())
        if joining := self._joining():
            found |= self._settled(self._read(joining))
        for handle, step in found.items():
            if handle in self._kept:
                self._kept[handle].append(step)
        return [Piece(handle, step) for handle, step in found.items() if handle not in self._kept]

    def stream(
        self, prompt: LlmPrompt, settings: GenerateSettings | None = None
    ) -> Iterator[ReplyStep]:
        """Yield what each step adds to the reply to one prompt, as it comes.

        Other conversations go on meanwhile, and several can be streamed in turn. A conversation
        whose iterator is closed is removed. Raises the errors of `add`.
        """
        handle = self.add(prompt, settings)
        kept = self._kept[handle] = deque()
        try:
            while kept or handle in self._rows:
                if not kept:
                    self.step()
                while kept:
                    yield kept.popleft()
        finally:
            self.remove(handle)

    def replies(
        self,
        prompts: Sequence[LlmPrompt],
        settings: GenerateSettings | Sequence[GenerateSettings] | None = None,
    ) -> list[GeneratedReply]:
        """Return the reply to each prompt, by the settings of all or of each.

        Raises the errors of `add`, before any work.
        """
        each = settings if isinstance(settings, Sequence) else [settings] * len(prompts)
        replies: dict[int, GeneratedReply] = {}
        try:
            for prompt, how in zip(prompts, each, strict=True):
                handle = self.add(prompt, how)
                replies[handle], self._kept[handle] = GeneratedReply(), deque()
            while any(handle in self._rows for handle in replies):
                self.step()
            for handle, reply in replies.items():
                for step in self._kept[handle]:
                    reply.add(step)
        finally:
            for handle in replies:
                self.remove(handle)
        return list(replies.values())

    def _advance(self) -> dict[int, ReplyStep]:
        """Read one more position of each row, and choose the ids behind it."""
        rows = [self._rows[handle] for handle in self._memory.trunk.owners]
        given = [(row.audio, row.text, row.length) for row in rows]
        # On a GPU, numbers of rows are rounded up, so that few graphs are recorded. Such a row
        # writes to a slot that is free, and nobody reads its scores.
        given += [(0, 0, 0)] * (self._rounded(len(rows)) - len(rows))
        ids = torch.tensor(given).T.to(self._device, non_blocking=True)
        for row in rows:
            row.length += 1
        self._reserve()
        if self._branches is None:
            places = {owner: slot for slot, owner in enumerate(self._memory.trunk.owners)}
            text, audio = (
                [places[owner] for owner in part.owners]
                for part in (self._memory.text, self._memory.audio)
            )
            self._branches = (self._places(text), self._places(audio))
        audio_ids, text_ids, lengths = ids
        next_ids = NextIds(audio_ids, text_ids, lengths, *self._branches)
        longest = max(row.length for row in rows)
        output = (
            self._network.step(next_ids, self._memory, longest)
            if self._graphs is None
            else self._graphs(next_ids)
        )
        return self._chosen(self._memory.text.owners, self._memory.audio.owners, output)

    def _whole_step(self, given: NextIds) -> LlmOutput:
        return self._network.step(given, self._memory, None)

    def _places(self, rows: list[int]) -> Tensor:
        padded = rows + [0] * (self._rounded(len(rows)) - len(rows))
        return torch.tensor(padded, dtype=torch.int64, device=self._device)

    def _rounded(self, rows: int) -> int:
        return rows if self._graphs is None or not rows else 1 << (rows - 1).bit_length()

    def _joining(self) -> dict[int, tuple[LlmPrompt, Tensor | None]]:
        """Give slots to those that wait, as far as there is room."""
        joining: dict[int, tuple[LlmPrompt, Tensor | None]] = {}
        memory, positions = self._memory, 0
        for handle, (prompt, _) in self._waiting.items():
            positions += len(prompt.audio_ids)
            full = len(memory.trunk.owners) == self._most
            if full or (joining and positions > self._read_at_once):
                break
            row = self._rows[handle]
            memory.trunk.join(handle)
            if row.writes:
                memory.text.join(handle)
            if row.settings.reply is Reply.BOTH:
                memory.audio.join(handle)
            joining[handle] = self._waiting[handle]
            self._branches = None
        for handle in joining:
            del self._waiting[handle]
        return joining

    def _read(self, joining: Mapping[int, tuple[LlmPrompt, Tensor | None]]) -> dict[int, ReplyStep]:
        """Read prompts, and choose the first ids behind them."""
        self._reserve()
        prompts = [prompt for prompt, _ in joining.values()]
        features = [rows for _, rows in joining.values() if rows is not None]
        # Without features, no place is heard.
        heard = [prompt.continuous & bool(prompt.features) for prompt in prompts]
        output = self._network.read(
            Prompts(
                torch.cat([prompt.audio_ids for prompt in prompts]).to(self._device),
                torch.cat([prompt.text_ids for prompt in prompts]).to(self._device),
                torch.cat(heard).to(self._device),
                torch.cat(features).to(self._device) if features else None,
                [len(prompt.audio_ids) for prompt in prompts],
                list(joining),
            ),
            self._memory,
        )
        text, audio = (
            [owner for owner in part.owners if owner in joining]
            for part in (self._memory.text, self._memory.audio)
        )
        return self._chosen(text, audio, output)

    def _reserve(self) -> None:
        """Make room for all rows at their present lengths."""
        longest = max(self._rows[handle].length for handle in self._memory.trunk.owners)
        moved = [
            part.reserve(max(1, self._rounded(len(part.owners))), longest)
            for part in self._memory.parts
        ]
        if any(moved) and self._graphs is not None:
            self._graphs.forget()

    def _chosen(
        self, text: Sequence[int], audio: Sequence[int], output: LlmOutput
    ) -> dict[int, ReplyStep]:
        """Choose the next ids of rows; return what is added to the reply of each.

        `text` and `audio` are the handles of the scores of both heads.
        """
        handles = sorted({*text, *audio})  # every row has one of both branches
        vocabulary = self._network.config.vocab_size
        # Noise is drawn whether it is used or not: speech does not depend on when a text ends.
        noise = {("text", h): self._rows[h].noise("text", vocabulary) for h in handles}
        sounding = [h for h in audio if self._rows[h].sounds]
        noise |= {("audio", h): self._rows[h].noise("audio", vocabulary) for h in sounding}
        drawn = [
            *self._drawn("text", text, text, output.text_logits, noise),
            *self._drawn("audio", audio, sounding, output.audio_logits, noise),
        ]
        ids = torch.cat([found for *_, found in drawn]).tolist() if drawn else []
        owners = [(stream, handle) for stream, some, _ in drawn for handle in some]
        chosen_ids = dict(zip(owners, ids, strict=True))
        return {
            h: self._rows[h].take(chosen_ids.get(("text", h)), chosen_ids.get(("audio", h)))
            for h in handles
        }

    def _drawn(
        self,
        stream: Stream,
        scored: Sequence[int],
        wanted: Sequence[int],
        logits: Tensor,
        noise: Mapping[tuple[str, int], Tensor | None],
    ) -> Iterator[tuple[Stream, list[int], Tensor]]:
        """Yield the ids of a stream, int64 (rows,), for rows that draw in the same way.

        `logits` are those of the handles `scored`, and ids are those of `wanted`.
        """
        places = {handle: place for place, handle in enumerate(scored)}
        groups: dict[Sampling, list[int]] = {}
        for handle in wanted:
            groups.setdefault(self._rows[handle].sampling(stream), []).append(handle)
        for sampling, some in groups.items():
            whole = some == list(scored) and len(some) == len(logits)
            yield stream, some, chosen(
                logits if whole else logits[[places[handle] for handle in some]],
                sampling,
                [self._rows[handle].draws.recent[stream] for handle in some],
                [noise[stream, handle] for handle in some],
            )  # fmt: skip

    def _settled(self, found: dict[int, ReplyStep]) -> dict[int, ReplyStep]:
        """Take those whose reply or text has ended out of where they are no longer needed."""
        for handle, step in found.items():
            if step.last:
                del self._rows[handle]
                self._memory.leave(handle)
                self._branches = None
            elif not self._rows[handle].writes and handle in self._memory.text.owners:
                self._memory.text.leave(handle)
                self._branches = None
        return found


class _Row:
    """The two streams of a conversation, and the rules for their end."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        settings: GenerateSettings,
        delay: int,
        limit: int,
        length: int,
    ) -> None:
        """`delay` and `limit` are in steps, `length` is the number of positions read."""
        self.vocabulary, self.settings = vocabulary, settings
        self.delay, self.limit, self.length = delay, limit, length
        self.steps = 0
        self.audio = self.text = vocabulary.blank  # the ids that the network reads next
        self.writes = not settings.audio_only  # the text has not ended
        self.draws = Draws(settings.seed)

    @property
    def sounds(self) -> bool:
        """Whether the next step gives audio: during the delay the audio stream is blank."""
        return self.settings.reply is Reply.BOTH and self.steps >= self.delay

    def sampling(self, stream: Stream) -> Sampling:
        return self.settings.text if stream == "text" else self.settings.audio

    def noise(self, stream: Stream, vocabulary: int) -> Tensor | None:
        return self.draws.noise(self.sampling(stream), vocabulary)

    def take(self, text: int | None, audio: int | None) -> ReplyStep:
        """Note the ids that were chosen, None where none was; return what they add."""
        names = self.vocabulary
        self.text = text if self.writes and text is not None else names.blank
        self.writes = self.writes and self.text != names.text_eos
        # During the delay the audio stream is blank, so it cannot end the reply either.
        self.audio = names.blank if audio is None else audio
        self.draws.remember("text", self.text, self.settings.text)
        self.draws.remember("audio", self.audio, self.settings.audio)
        self.steps += 1
        text_id = self.text if self.writes else None
        stopped = (
            not self.writes if self.settings.reply is Reply.TEXT else audio in names.stops_audio
        )
        return ReplyStep(
            text=text_id if text_id is not None and text_id < names.audio_offset else None,
            code=None
            if audio is None or audio < names.audio_offset
            else audio - names.audio_offset,
            text_id=text_id,
            audio_id=audio,
            stopped=stopped,
            last=stopped or self.steps >= self.limit,
        )
