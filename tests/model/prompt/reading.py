"""From two token streams back to the conversation that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.model.prompt.layout import LayoutError, Role, TokenMessage, Vocabulary


def read(
    audio_ids: Sequence[int], text_ids: Sequence[int], vocabulary: Vocabulary | None = None
) -> list[TokenMessage]:
    """Return the messages of a layout of either revision.

    Neighbouring texts of one role come back as one, and so does a spoken message with the text
    behind it; empty texts do not come back: a layout does not tell these apart. Raises LayoutError
    naming the position of what is in no conversation.
    """
    return _Reader(audio_ids, text_ids, vocabulary or Vocabulary()).conversation()


@dataclass
class _Reader:
    audio: Sequence[int]
    text: Sequence[int]
    vocabulary: Vocabulary
    at: int = 0

    def conversation(self) -> list[TokenMessage]:
        if len(self.audio) != len(self.text):
            raise LayoutError(f"{len(self.audio)} audio ids beside {len(self.text)} text ids")
        names = self.vocabulary
        messages: list[TokenMessage] = []
        while self.at < len(self.audio):
            marker = self.audio[self.at]
            if marker not in (names.user, names.assistant):
                raise self._unexpected("a role marker")
            self.at += 1
            if self.at < len(self.audio):  # otherwise it only lets the assistant speak
                messages += self._run(Role.USER if marker == names.user else Role.ASSISTANT)
        return messages

    def _run(self, role: Role) -> list[TokenMessage]:
        names = self.vocabulary
        messages: list[TokenMessage] = []
        while self.at < len(self.audio):
            id_ = self.audio[self.at]
            if id_ == names.msg_end:
                self.at += 1
                return messages
            if id_ == names.media_begin:
                messages.append(TokenMessage(role, codes=self._codes()))
            elif id_ == names.blank or id_ >= names.audio_offset:
                messages.append(self._spoken(role))
            elif id_ in (names.reply_text, names.reply_both):
                self.at += 1
            else:
                raise self._unexpected("a message")
        raise LayoutError("the layout ends before its last message does")

    def _codes(self) -> tuple[int, ...]:
        """Read MEDIA_BEGIN, codes, MEDIA_END."""
        offset, start = self.vocabulary.audio_offset, self.at + 1
        self.at = start
        while self.at < len(self.audio) and self.audio[self.at] >= offset:
            self.at += 1
        if self.at == len(self.audio) or self.audio[self.at] != self.vocabulary.media_end:
            raise self._unexpected("the end of an audio segment")
        self.at += 1
        return tuple(id_ - offset for id_ in self.audio[start : self.at - 1])

    def _spoken(self, role: Role) -> TokenMessage:
        """Read a text, or a text with codes beside it that start some blanks later."""
        names, start = self.vocabulary, self.at
        while self.at < len(self.audio) and (
            self.audio[self.at] == names.blank or self.audio[self.at] >= names.audio_offset
        ):
            self.at += 1
            if self.text[self.at - 1] == names.text_eos:
                break
        span = slice(start, self.at)
        text = [t for t in self.text[span] if t not in (names.blank, names.text_eos)]
        if any(id_ >= names.text_tokens for id_ in text):
            raise LayoutError(f"positions {start} to {self.at - 1}: text ids that are no text")
        codes = [a - names.audio_offset for a in self.audio[span] if a != names.blank]
        return TokenMessage(role, tuple(text), tuple(codes) if codes else None)

    def _unexpected(self, wanted: str) -> LayoutError:
        found = self.audio[self.at] if self.at < len(self.audio) else "the end"
        return LayoutError(f"position {self.at}: audio id {found} where {wanted} should be")
