"""Conversations and recordings as sequences for the LLM: ids, labels, loss masks, sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from wavemill.model.data.corpus import Conversation, Segment, Sound, Spoken
from wavemill.model.prompt.layout import (
    Format,
    Layout,
    LayoutBuilder,
    Reply,
    Role,
    TokenMessage,
    Vocabulary,
    shifted,
)
from wavemill.model.prompt.text import TextTokenizer


@dataclass(frozen=True)
class Document:
    """A sequence that attends to itself alone; arrays are (positions,)."""

    id: str
    task: str
    audio_ids: np.ndarray  # int64
    text_ids: np.ndarray  # int64
    continuous: np.ndarray  # bool: acoustic features are added, a run per sound
    # What each stream is to predict at a position, int64, and whether it is trained on, bool.
    audio_labels: np.ndarray
    text_labels: np.ndarray
    audio_loss_mask: np.ndarray
    text_loss_mask: np.ndarray
    sounds: tuple[Sound, ...]  # of the runs of `continuous`, in order

    def __len__(self) -> int:
        return len(self.audio_ids)

    def without_loss(self) -> Document:
        """Return a document of the same length without sounds that is not trained on."""
        nothing = np.zeros(len(self), bool)
        return replace(
            self, continuous=nothing, audio_loss_mask=nothing, text_loss_mask=nothing, sounds=()
        )

    @property
    def array_bytes(self) -> int:
        """Return the bytes of its arrays, beside those of its sounds."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    @property
    def loss_positions(self) -> int:
        """Return how many positions are trained on, in both streams together."""
        return int(self.audio_loss_mask.sum() + self.text_loss_mask.sum())


def with_hidden_codes(
    one: Document, share: float, blank: int, rng: np.random.Generator
) -> Document:
    """Return a document of which a share of the codes that are heard are `blank`.

    Their acoustic features stay, so that a network does not learn recordings by heart by their
    codes. Codes of the assistant stay, too.
    """
    hidden = one.continuous & (rng.random(len(one)) < share)
    return replace(one, audio_ids=np.where(hidden, blank, one.audio_ids))


def document(name: str, task: str, layout: Layout, sounds: Sequence[Sound], pad: int) -> Document:
    """Return the document of a layout; position p predicts p + 1 (docs/published-format.md)."""
    audio_labels, audio_loss_mask = shifted(layout.audio_ids, layout.audio_loss_mask, pad)
    text_labels, text_loss_mask = shifted(layout.text_ids, layout.text_loss_mask, pad)
    return Document(
        id=name,
        task=task,
        audio_ids=np.array(layout.audio_ids, np.int64),
        text_ids=np.array(layout.text_ids, np.int64),
        continuous=np.array(layout.continuous, bool),
        audio_labels=np.array(audio_labels, np.int64),
        text_labels=np.array(text_labels, np.int64),
        audio_loss_mask=np.array(audio_loss_mask, bool),
        text_loss_mask=np.array(text_loss_mask, bool),
        sounds=tuple(sounds),
    )


def conversation_document(
    conversation: Conversation, text: TextTokenizer, form: Format
) -> Document:
    """Return the sequence of a conversation; the loss is on what the assistant says.

    It differs from the published fine-tuning in one thing: speech of the assistant has no acoustic
    features. With them, the network would be given the sound that it is to predict, which it does
    not have when it speaks. Raises LayoutError for what cannot be laid out.
    """
    messages = [message_of(message, text) for message in conversation.messages]
    speaks = any(m.role == Role.ASSISTANT and m.codes is not None for m in messages)
    reply = Reply.BOTH if speaks else Reply.TEXT
    layout = form.layout(messages, reply, ask=False, training=True)
    spoken = [m for m in conversation.messages if m.sound is not None and m.text is None]
    layout = replace(layout, continuous=_user_sounds(layout, [m.role for m in spoken]))
    sounds = [m.sound for m in spoken if m.sound is not None and m.role == Role.USER]
    return document(conversation.sample_id, conversation.task, layout, sounds, form.vocabulary.pad)


def message_of(message: Spoken, text: TextTokenizer) -> TokenMessage:
    """Return a message with its text as ids of a text tokenizer."""
    return TokenMessage(
        Role(message.role),
        None if message.text is None else tuple(text.encode(message.text)),
        None if message.sound is None else tuple(message.sound.codes.tolist()),
    )


def _user_sounds(layout: Layout, roles: list[str]) -> tuple[bool, ...]:
    """Return `continuous` without the runs of the assistant; `roles` has one role a run."""
    marks, run = [], -1
    for at, mark in enumerate(layout.continuous):
        run += mark and not (at and layout.continuous[at - 1])
        marks.append(mark and roles[run] == Role.USER)
    return tuple(marks)


class Task(StrEnum):
    """The pre-training tasks (report section 4.1, and one more): a recording as sequences.

    Segments are S1, S2 ...: `a` is a segment as input (codes with acoustic features), `ad` one as
    output (codes alone), `t` its text. Codes stand between media markers, as in conversations. A
    text that is trained on ends with TEXT_EOS, and codes that are trained on with MEDIA_END, since
    generation stops there.
    """

    TEXT = "text"  # t1 t2 ...
    AUDIO = "audio"  # ad1 ad2 ...
    ASR = "asr"  # a1 t1 a2 t2 ..., loss on t
    TTS = "tts"  # t1 ad1 t2 ad2 ..., loss on ad
    TO_AUDIO = "audio_to_semantic"  # a1 ad2 a3 ad4 ..., loss on ad
    TO_TEXT = "audio_to_text"  # a1 t2 a3 t4 ..., loss on t
    TO_BOTH = "audio_to_both"  # a1 ad2/t2 a3 ad4/t4 ..., loss on ad and t
    # Not among the report's seven, but how its speech synthesis is prompted (section 3.2):
    # t1 ad1 t2 ad2 of one speaker, a pair a document, loss on ad2
    TTS_WITH_REFERENCE = "tts_with_reference"


# Table 3 of the report; the text of its section 4.1.4 has the first two the other way round.
WEIGHTS = {
    Task.TEXT: 7.0,
    Task.AUDIO: 1.0,
    Task.ASR: 1.0,
    Task.TTS: 1.0,
    Task.TO_AUDIO: 1.0,
    Task.TO_TEXT: 1.0,
    Task.TO_BOTH: 2.0,
}
REFERENCE_TOKENS = (25, 125)  # of a reference, 2 to 10 s, where the speaker has such a segment
# These answer a segment with the next one: a recording needs two of them.
INTERLEAVED = frozenset({Task.TO_AUDIO, Task.TO_TEXT, Task.TO_BOTH})


@dataclass(frozen=True)
class Said:
    """A segment in the model's ids."""

    segment: Segment
    text: tuple[int, ...]


@dataclass(frozen=True)
class Tasks:
    """Lays recordings and texts out as documents of at most `positions`."""

    vocabulary: Vocabulary
    delay: int  # steps that audio starts after its text
    positions: int

    def speech(
        self, task: Task, segments: Sequence[Said], too_long: Callable[[str], None]
    ) -> Iterator[Document]:
        """Yield a recording under a task, cut between segments where it is too long.

        Interleaving keeps pairs together and leaves a last single segment out. `too_long` is
        called with the id of a segment (or the first of a pair) that is too long by itself.
        """
        if task is Task.TTS_WITH_REFERENCE:
            yield from self._referenced(segments, too_long)
            return
        size = 2 if task in INTERLEAVED else 1
        held = LayoutBuilder(self.vocabulary.blank)
        sounds: list[Sound] = []
        first = ""
        for at in range(0, len(segments) - size + 1, size):
            group = segments[at : at + size]
            element = LayoutBuilder(self.vocabulary.blank)
            heard = self._element(element, task, group[0], group[-1])
            if len(element.positions) > self.positions:
                too_long(group[0].segment.segment_id)
                continue
            if len(held.positions) + len(element.positions) > self.positions:
                yield self._document(first, task, held, sounds)
                held, sounds = LayoutBuilder(self.vocabulary.blank), []
            first = group[0].segment.segment_id if not held.positions else first
            held.positions += element.positions
            sounds += heard
        if held.positions:
            yield self._document(first, task, held, sounds)

    def _referenced(
        self, segments: Sequence[Said], too_long: Callable[[str], None]
    ) -> Iterator[Document]:
        """Yield each segment behind another one of its speaker, if there is one."""
        for at, said in enumerate(segments):
            reference = _reference(segments, at)
            if reference is None:
                continue
            streams = LayoutBuilder(self.vocabulary.blank)
            streams.text(reference.text)
            streams.audio([self.vocabulary.media_begin])
            streams.audio([*self._codes(reference), self.vocabulary.media_end])
            streams.text(said.text)
            self._spoken(streams, said)
            name = said.segment.segment_id
            if len(streams.positions) > self.positions:
                too_long(name)
                continue
            yield self._document(name, Task.TTS_WITH_REFERENCE, streams, [])

    def text(self, name: str, ids: Sequence[int]) -> Iterator[Document]:
        """Yield a text, cut where it is too long; the last piece ends with TEXT_EOS."""
        whole = [*ids, self.vocabulary.text_eos]
        for start in range(0, len(whole), self.positions - 1):
            streams = LayoutBuilder(self.vocabulary.blank)
            # The first id needs a position before it from which it is predicted.
            streams.text([self.vocabulary.blank])
            streams.text(whole[start : start + self.positions - 1], in_loss=True)
            yield self._document(name, Task.TEXT, streams, [])

    def _document(
        self, name: str, task: Task, streams: LayoutBuilder, sounds: list[Sound]
    ) -> Document:
        return document(name, task, streams.layout(), sounds, self.vocabulary.pad)

    def _element(self, streams: LayoutBuilder, task: Task, one: Said, next_: Said) -> list[Sound]:
        """Add a segment (and the next one) as a task has them; return the sounds of the input."""
        names = self.vocabulary
        if task is Task.AUDIO:
            self._spoken(streams, one)
            return []
        if task is Task.TTS:
            streams.text(one.text)
            self._spoken(streams, one)
            return []
        streams.audio([names.media_begin])
        streams.audio(self._codes(one), continuous=True)
        streams.audio([names.media_end])
        if task in (Task.ASR, Task.TO_TEXT):
            answer = one if task is Task.ASR else next_
            streams.text([*answer.text, names.text_eos], in_loss=True)
        elif task is Task.TO_AUDIO:
            self._spoken(streams, next_)
        else:
            codes = [*self._codes(next_), names.media_end]
            streams.both(codes, [*next_.text, names.text_eos], self.delay, in_loss=True)
        return [one.segment.sound]

    def _spoken(self, streams: LayoutBuilder, said: Said) -> None:
        streams.audio([self.vocabulary.media_begin])
        streams.audio([*self._codes(said), self.vocabulary.media_end], in_loss=True)

    def _codes(self, said: Said) -> list[int]:
        return [self.vocabulary.audio_offset + int(code) for code in said.segment.sound.codes]


def has_reference(segments: Sequence[Said]) -> bool:
    """Whether any segment has another one of its speaker."""
    speakers = [said.segment.speaker for said in segments if said.segment.speaker]
    return len(set(speakers)) < len(speakers)


def _reference(segments: Sequence[Said], at: int) -> Said | None:
    """Return the nearest other segment of a segment's speaker, one of 2 to 10 s where there is one.

    Earlier ones come before later ones; None for a speaker without another.
    """
    speaker = segments[at].segment.speaker
    shortest, longest = REFERENCE_TOKENS
    others = [
        (not shortest <= len(said.segment.sound.codes) <= longest, abs(place - at), place)
        for place, said in enumerate(segments)
        if place != at and speaker and said.segment.speaker == speaker
    ]
    return segments[min(others)[2]] if others else None
