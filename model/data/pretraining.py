"""The seven pre-training tasks (report section 4.1): a recording as sequences.

Segments are S1, S2 ...: `a` is one heard (codes with acoustic features), `ad` one spoken (codes
alone), `t` its text. Codes stand between media markers, as in conversations; a text that is learnt
ends with TEXT_EOS, codes that are learnt with MEDIA_END, since that is where generation stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wavemill.model.data.corpus import Segment, Sound
from wavemill.model.data.document import Document, document
from wavemill.model.prompt.layout import LayoutBuilder, Vocabulary


class Task(StrEnum):
    TEXT = "text"  # t1 t2 ...
    AUDIO = "audio"  # ad1 ad2 ...
    ASR = "asr"  # a1 t1 a2 t2 ..., learnt: t
    TTS = "tts"  # t1 ad1 t2 ad2 ..., learnt: ad
    TO_AUDIO = "audio_to_semantic"  # a1 ad2 a3 ad4 ..., learnt: ad
    TO_TEXT = "audio_to_text"  # a1 t2 a3 t4 ..., learnt: t
    TO_BOTH = "audio_to_both"  # a1 ad2/t2 a3 ad4/t4 ..., learnt: ad and t


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
        self, task: Task, segments: Sequence[Said], turn: int, too_long: Callable[[str], None]
    ) -> Iterator[Document]:
        """Yield a recording under a task, cut between segments where it is too long.

        Interleaving keeps pairs together and leaves a last single segment out. A segment (or
        pair) that is too long by itself is told to `too_long` by its id.
        """
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
                yield self._document(first, task, held, sounds, turn)
                held, sounds = LayoutBuilder(self.vocabulary.blank), []
            first = group[0].segment.segment_id if not held.positions else first
            held.positions += element.positions
            sounds += heard
        if held.positions:
            yield self._document(first, task, held, sounds, turn)

    def text(self, name: str, ids: Sequence[int], turn: int) -> Iterator[Document]:
        """Yield a text, cut where it is too long; the last piece ends with TEXT_EOS."""
        whole = [*ids, self.vocabulary.text_eos]
        for start in range(0, len(whole), self.positions - 1):
            streams = LayoutBuilder(self.vocabulary.blank)
            # The first id is not predicted from anything, so something has to stand before it.
            streams.text([self.vocabulary.blank])
            streams.text(whole[start : start + self.positions - 1], in_loss=True)
            yield self._document(name, Task.TEXT, streams, [], turn)

    def _document(
        self, name: str, task: Task, streams: LayoutBuilder, sounds: list[Sound], turn: int
    ) -> Document:
        return document(name, task, streams.layout(), sounds, self.vocabulary.pad, turn)

    def _element(self, streams: LayoutBuilder, task: Task, one: Said, next_: Said) -> list[Sound]:
        """Add what a task makes of a segment (and the next one); return the sounds heard."""
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
