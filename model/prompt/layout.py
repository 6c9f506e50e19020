"""From a conversation to two token streams of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from wavemill.model.prompt.vocabulary import Vocabulary


class Revision(StrEnum):
    """Which published revision a checkpoint was trained with.

    JUNE ends the assistant's text with TEXT_EOS, and knows assistant messages of text and audio
    together; MAY does neither.
    """

    MAY = "may"
    JUNE = "june"


class Reply(StrEnum):
    """What the assistant should answer with."""

    TEXT = "text"
    BOTH = "both"


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class LayoutError(ValueError):
    """A conversation cannot be laid out, or a layout is none of a conversation: says where."""


@dataclass(frozen=True)
class Message:
    """One message: text ids, or audio codes, or (assistant only) both, spoken together."""

    role: Role
    text: tuple[int, ...] | None = None  # ids of the text tokenizer
    codes: tuple[int, ...] | None = None  # semantic codes, 12.5 a second, counted from 0

    def __post_init__(self) -> None:
        if self.role not in tuple(Role):
            raise LayoutError(f"role {self.role!r} is neither user nor assistant")
        if self.text is None and self.codes is None:
            raise LayoutError("a message needs text, audio codes, or both")


@dataclass(frozen=True)
class Layout:
    """Two streams of equal length, with marks at the positions where something holds."""

    audio_ids: tuple[int, ...]
    text_ids: tuple[int, ...]
    continuous: tuple[bool, ...]  # acoustic features belong here, a run per audio message
    audio_learnt: tuple[bool, ...]  # the audio id is the assistant's own: the loss counts it
    text_learnt: tuple[bool, ...]  # likewise the text id

    def __len__(self) -> int:
        return len(self.audio_ids)


@dataclass
class Streams:
    """A layout under construction, position by position."""

    blank: int
    positions: list[tuple[int, int, bool, bool, bool]] = field(default_factory=list)

    def audio(self, ids: Iterable[int], continuous: bool = False, learnt: bool = False) -> None:
        self.positions += [(id_, self.blank, continuous, learnt, False) for id_ in ids]

    def text(self, ids: Iterable[int], learnt: bool = False) -> None:
        self.positions += [(self.blank, id_, False, False, learnt) for id_ in ids]

    def both(
        self, audio: Sequence[int], text: Sequence[int], delay: int, learnt: bool = False
    ) -> None:
        """Add both streams side by side: audio starts `delay` steps later, blanks fill up.

        What is learnt is the text and the audio, never a blank.
        """
        length = max(len(text), delay + len(audio))
        late = [self.blank] * delay + [*audio]
        for at in range(length):
            one = late[at] if at < len(late) else self.blank
            other = text[at] if at < len(text) else self.blank
            said = learnt and delay <= at < len(late)
            self.positions.append((one, other, False, said, learnt and at < len(text)))

    def layout(self) -> Layout:
        return Layout(*(tuple(row[i] for row in self.positions) for i in range(5)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Format:
    """How conversations are laid out; the defaults are the newer revision's."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    revision: Revision = Revision.JUNE
    delay: int = 6  # steps that audio starts after its text (report section 4.1.3)

    def layout(
        self,
        messages: Sequence[Message],
        reply: Reply = Reply.TEXT,
        ask: bool = True,
        teach: bool = False,
    ) -> Layout:
        """Return the streams of a conversation (docs/published-format.md).

        A run of messages by one role gets one role marker. Only when its last message is audio,
        the marker of the wanted `reply` follows; then MSG_END. `ask` appends the marker that lets
        the assistant speak; leave it out for training. With `teach`, what the assistant says in
        text and audio together is learnt too: its text then ends with TEXT_EOS and the MSG_END
        after it counts, as generation stops at both. Raises LayoutError for what the revision
        cannot express.
        """
        if not messages:
            raise LayoutError("a conversation needs at least one message")
        vocabulary = self.vocabulary
        streams = Streams(vocabulary.blank)
        for role, run in groupby(messages, key=lambda message: message.role):
            streams.audio([vocabulary.user if role == Role.USER else vocabulary.assistant])
            message = None
            for message in run:
                self._add(streams, message, teach)
            if message is not None and message.text is None:
                wanted = vocabulary.reply_text if reply is Reply.TEXT else vocabulary.reply_both
                streams.audio([wanted])
            spoken = message is not None and None not in (message.text, message.codes)
            streams.audio([vocabulary.msg_end], learnt=teach and spoken)
        if ask:
            streams.audio([vocabulary.assistant])
        return streams.layout()

    def _add(self, streams: Streams, message: Message, teach: bool) -> None:
        vocabulary = self.vocabulary
        learnt = message.role == Role.ASSISTANT
        codes = [self._audio_id(code) for code in message.codes or ()]
        for id_ in message.text or ():
            if not 0 <= id_ < vocabulary.text_tokens:
                raise LayoutError(f"{id_} is no text id: those are below {vocabulary.text_tokens}")
        if message.text is not None and message.codes is not None:
            self._add_spoken(streams, message, codes, teach)
        elif message.text is not None:
            streams.text(message.text, learnt)
            if learnt and self.revision is Revision.JUNE:
                streams.text([vocabulary.text_eos], learnt)
        else:
            streams.audio([vocabulary.media_begin])
            streams.audio(codes, continuous=True, learnt=learnt)
            streams.audio([vocabulary.media_end], learnt=learnt)

    def _add_spoken(
        self, streams: Streams, message: Message, codes: list[int], teach: bool
    ) -> None:
        if self.revision is Revision.MAY or message.role != Role.ASSISTANT:
            raise LayoutError(
                "text and audio together: only the assistant's, and not in revision 'may'"
            )
        text = [*(message.text or ()), *([self.vocabulary.text_eos] if teach else [])]
        if len(text) > self.delay + len(codes):
            raise LayoutError(
                f"{len(text)} text ids do not fit beside {self.delay + len(codes)} audio positions"
            )
        streams.both(codes, text, self.delay, learnt=teach)

    def _audio_id(self, code: int) -> int:
        if code < 0:
            raise LayoutError(f"audio code {code} is negative: codes are counted from 0")
        return self.vocabulary.audio_offset + code


def read_aloud(text: Sequence[int], vocabulary: Vocabulary) -> Layout:
    """Return what pre-training's text-to-speech task puts before the codes of a text.

    MEDIA_END is to follow the codes (report section 4.1; `wavemill.model.data.documents`). Raises
    LayoutError for an empty text.
    """
    if not text:
        raise LayoutError("there is no text to read aloud")
    streams = Streams(vocabulary.blank)
    streams.text(text)
    streams.audio([vocabulary.media_begin])
    return streams.layout()


def shifted(ids: Sequence[int], learnt: Sequence[bool], pad: int) -> tuple[list[int], list[bool]]:
    """Return the labels of a stream and where the loss counts (docs/published-format.md).

    Position p is to predict what stands at p + 1; the last one predicts `pad`, uncounted.
    """
    return [*ids[1:], pad], [*learnt[1:], False]
