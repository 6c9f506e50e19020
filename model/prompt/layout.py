"""The vocabulary of the audio LLM, and conversations as two token streams of equal length.

Report sections 2.3 and 4.1; docs/published-format.md. Pure Python: ids in, ids out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

# The special tokens that have a use or a name of their own, by their index in the list of special
# tokens; every other index is a reserved token.
NAMED = {
    0: "[BOS]",
    1: "[EOS]",
    2: "<|im_msg_end|>",
    3: "<|im_user_msg_start|>",
    4: "<|im_assistant_msg_start|>",
    9: "[EOT]",
    18: "<|im_media_begin|>",
    20: "<|im_media_end|>",
    23: "<|im_kimia_text_blank|>",
    24: "<|im_kimia_text_eos|>",
    27: "<|im_kimia_user_msg_start|>",
    28: "<|im_kimia_assistant_msg_start|>",
    32: "<|im_kimia_speech_ct_id|>",
    33: "<|im_kimia_speech_ctd_id|>",
}
SMALLEST_LIST = max(NAMED) + 2  # special tokens: the named ones, and one to pad with


@dataclass(frozen=True)
class Vocabulary:
    """Which id means what: text ids first, then special tokens, then audio codes.

    Text ids are below `text_tokens`, special ids between it and `audio_offset`, and audio code c
    has the id `audio_offset` + c. The defaults are the published model's. Raises ValueError when
    there are too few special ids.
    """

    text_tokens: int = 151_643
    audio_offset: int = 152_064

    def __post_init__(self) -> None:
        if self.audio_offset - self.text_tokens < SMALLEST_LIST:
            raise ValueError(f"there must be at least {SMALLEST_LIST} special tokens")

    @property
    def msg_end(self) -> int:
        """Ends a run of messages of one role (audio stream); stops the audio head."""
        return self.text_tokens + 2

    @property
    def media_begin(self) -> int:
        """Opens an audio segment (audio stream)."""
        return self.text_tokens + 18

    @property
    def media_end(self) -> int:
        """Closes an audio segment (audio stream); stops the audio head."""
        return self.text_tokens + 20

    @property
    def blank(self) -> int:
        """Fills a stream where only the other one has a token."""
        return self.text_tokens + 23

    @property
    def text_eos(self) -> int:
        """Ends the assistant's text (text stream)."""
        return self.text_tokens + 24

    @property
    def user(self) -> int:
        """Opens a run of the user's messages (audio stream)."""
        return self.text_tokens + 27

    @property
    def assistant(self) -> int:
        """Opens a run of the assistant's messages (audio stream)."""
        return self.text_tokens + 28

    @property
    def reply_text(self) -> int:
        """After a run that ends with audio: the reply should be text ("CT", audio stream)."""
        return self.text_tokens + 32

    @property
    def reply_both(self) -> int:
        """After a run that ends with audio: the reply should be text and speech ("CTD")."""
        return self.text_tokens + 33

    @property
    def pad(self) -> int:
        """The last special id: fills batches and the last label."""
        return self.audio_offset - 1

    @property
    def stops_audio(self) -> tuple[int, int]:
        return self.msg_end, self.media_end


class Revision(StrEnum):
    """The published revision that a checkpoint was trained with.

    JUNE ends the assistant's text with TEXT_EOS, and allows assistant messages that have both
    text and audio; MAY does neither.
    """

    MAY = "may"
    JUNE = "june"


class Reply(StrEnum):
    """What the assistant should answer with: text, or both text and speech."""

    TEXT = "text"
    BOTH = "both"


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class LayoutError(ValueError):
    """A conversation cannot be laid out, or token streams are not a conversation: says where."""


@dataclass(frozen=True)
class TokenMessage:
    """A message as tokens: text ids, or audio codes, or (assistant only) both, spoken together.

    Raises LayoutError for an unknown role, and for neither text nor codes.
    """

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
    """Two streams of equal length, with masks over their positions."""

    audio_ids: tuple[int, ...]
    text_ids: tuple[int, ...]
    continuous: tuple[bool, ...]  # acoustic features are added here, one run per audio message
    # True where the id is the assistant's own, and training should predict it.
    audio_loss_mask: tuple[bool, ...]
    text_loss_mask: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.audio_ids)


@dataclass
class LayoutBuilder:
    """Builds a layout, position by position."""

    blank: int
    positions: list[tuple[int, int, bool, bool, bool]] = field(default_factory=list)

    def audio(self, ids: Iterable[int], continuous: bool = False, in_loss: bool = False) -> None:
        self.positions += [(id_, self.blank, continuous, in_loss, False) for id_ in ids]

    def text(self, ids: Iterable[int], in_loss: bool = False) -> None:
        self.positions += [(self.blank, id_, False, False, in_loss) for id_ in ids]

    def both(
        self, audio: Sequence[int], text: Sequence[int], delay: int, in_loss: bool = False
    ) -> None:
        """Add text and audio side by side; audio starts `delay` steps later, blanks fill the gaps.

        With `in_loss`, the loss masks cover the text and the audio, but no blank.
        """
        length = max(len(text), delay + len(audio))
        delayed = [self.blank] * delay + [*audio]
        for at in range(length):
            audio_id = delayed[at] if at < len(delayed) else self.blank
            text_id = text[at] if at < len(text) else self.blank
            audio_in_loss = in_loss and delay <= at < len(delayed)
            self.positions.append(
                (audio_id, text_id, False, audio_in_loss, in_loss and at < len(text))
            )

    def layout(self) -> Layout:
        return Layout(*(tuple(row[i] for row in self.positions) for i in range(5)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Format:
    """How conversations are laid out; the defaults are those of the newer revision."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    revision: Revision = Revision.JUNE
    delay: int = 6  # steps from the start of a text to the start of its audio (section 4.1.3)

    def layout(
        self,
        messages: Sequence[TokenMessage],
        reply: Reply = Reply.TEXT,
        ask: bool = True,
        training: bool = False,
    ) -> Layout:
        """Return the streams of a conversation (docs/published-format.md).

        Consecutive messages of one role get one role marker. If the last of them is audio, the
        marker of the wanted `reply` follows; then MSG_END. `ask` appends the marker after which
        the assistant replies; leave it out for training. With `training`, the loss masks also
        cover assistant messages of text and audio together: their text then ends with TEXT_EOS,
        and the MSG_END behind them counts too, because generation stops at both. Raises
        LayoutError for what the revision cannot express.
        """
        if not messages:
            raise LayoutError("a conversation needs at least one message")
        vocabulary = self.vocabulary
        streams = LayoutBuilder(vocabulary.blank)
        for role, run in groupby(messages, key=lambda message: message.role):
            streams.audio([vocabulary.user if role == Role.USER else vocabulary.assistant])
            message = None
            for message in run:
                self._add(streams, message, training)
            if message is not None and message.text is None:
                wanted = vocabulary.reply_text if reply is Reply.TEXT else vocabulary.reply_both
                streams.audio([wanted])
            spoken = message is not None and None not in (message.text, message.codes)
            streams.audio([vocabulary.msg_end], in_loss=training and spoken)
        if ask:
            streams.audio([vocabulary.assistant])
        return streams.layout()

    def _add(self, streams: LayoutBuilder, message: TokenMessage, training: bool) -> None:
        vocabulary = self.vocabulary
        in_loss = message.role == Role.ASSISTANT
        codes = [self._audio_id(code) for code in message.codes or ()]
        for id_ in message.text or ():
            if not 0 <= id_ < vocabulary.text_tokens:
                raise LayoutError(f"{id_} is not a text id (below {vocabulary.text_tokens})")
        if message.text is not None and message.codes is not None:
            self._add_spoken(streams, message, codes, training)
        elif message.text is not None:
            streams.text(message.text, in_loss)
            if in_loss and self.revision is Revision.JUNE:
                streams.text([vocabulary.text_eos], in_loss)
        else:
            streams.audio([vocabulary.media_begin])
            streams.audio(codes, continuous=True, in_loss=in_loss)
            streams.audio([vocabulary.media_end], in_loss=in_loss)

    def _add_spoken(
        self, streams: LayoutBuilder, message: TokenMessage, codes: list[int], training: bool
    ) -> None:
        if self.revision is Revision.MAY or message.role != Role.ASSISTANT:
            raise LayoutError(
                "text and audio together: only the assistant's, and not in revision 'may'"
            )
        text = [*(message.text or ()), *([self.vocabulary.text_eos] if training else [])]
        if len(text) > self.delay + len(codes):
            raise LayoutError(
                f"{len(text)} text ids do not fit beside {self.delay + len(codes)} audio positions"
            )
        streams.both(codes, text, self.delay, in_loss=training)

    def _audio_id(self, code: int) -> int:
        if code < 0:
            raise LayoutError(f"audio code {code} is negative: codes are counted from 0")
        return self.vocabulary.audio_offset + code


def read_aloud(
    text: Sequence[int], vocabulary: Vocabulary, reference: TokenMessage | None = None
) -> Layout:
    """Return the prompt after which a model continues with the codes of `text` and MEDIA_END.

    It is what the text-to-speech task of pre-training (report section 4.1,
    `wavemill.model.data.documents`) puts before the codes. A `reference`, text and codes of what
    somebody said, stands before the text, as an earlier segment of their recording would: the
    model goes on in their voice. Raises LayoutError for an empty text, and for a reference that
    lacks text or codes.
    """
    if not text:
        raise LayoutError("there is no text to read aloud")
    streams = LayoutBuilder(vocabulary.blank)
    if reference is not None:
        if not reference.text or not reference.codes:
            raise LayoutError("the reference of a voice needs sound, and what is said in it")
        streams.text(reference.text)
        streams.audio([vocabulary.media_begin])
        streams.audio([vocabulary.audio_offset + code for code in reference.codes])
        streams.audio([vocabulary.media_end])
    streams.text(text)
    streams.audio([vocabulary.media_begin])
    return streams.layout()


def shifted(
    ids: Sequence[int], loss_mask: Sequence[bool], pad: int
) -> tuple[list[int], list[bool]]:
    """Return the labels of a stream and their loss mask (docs/published-format.md).

    Position p predicts the id at p + 1; the last one predicts `pad` and is not in the loss.
    """
    return [*ids[1:], pad], [*loss_mask[1:], False]
