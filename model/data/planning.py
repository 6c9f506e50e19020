"""Which documents come next: windows of the data, which are shuffled and packed by themselves.

A window is as much of the data as memory may hold, and never more than an epoch. Nothing but the
place where it begins goes from one window to the next, so that a position in the data is a few
numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wavemill.model.data.augmented import Augmentation
from wavemill.model.data.conversations import conversation_document
from wavemill.model.data.corpus import Conversation, Corpus, Recording, Segment
from wavemill.model.data.document import Document
from wavemill.model.data.pretraining import INTERLEAVED, Said, Task, Tasks
from wavemill.model.data.problems import Problems
from wavemill.model.data.sound import SoundError
from wavemill.model.data.texts import Text, Texts
from wavemill.model.data.walk import Cursor, Walk
from wavemill.model.prompt.layout import Format, LayoutError
from wavemill.model.prompt.text import TextTokenizer

Place = dict[str, Any]  # JSON: where a window begins


@dataclass(frozen=True)
class Span:
    """Which part of the data, and how much of it makes a window."""

    stream: int = 0
    streams: int = 1
    seed: int = 0
    window_bytes: int = 256 << 20  # of stored audio and text


class Planner(ABC):
    """Reads a window of one kind of data."""

    @abstractmethod
    def window(self, place: Place, span: Span) -> tuple[list[Document], Place]:
        """Return the documents from `place` on ({}: the beginning), and where the next ones are.

        Raises DataError when there are none.
        """

    @abstractmethod
    def problems(self) -> list[Problems]: ...

    @abstractmethod
    def digest(self) -> str:
        """Return what tells the files from others."""

    def epochs(self, place: Place) -> int:
        """Return how many epochs are complete before a place behind a window, or in it."""
        return _cursor(place, "corpus").epoch


@dataclass
class ConversationPlanner(Planner):
    """The `sft` corpus."""

    corpus: Corpus
    text: TextTokenizer
    form: Format
    positions: int  # of the longest document
    augmentation: Augmentation | None = None  # another sound in each epoch

    def window(self, place: Place, span: Span) -> tuple[list[Document], Place]:
        walk: Walk[Conversation] = Walk(
            self.corpus.files.place, len(self.corpus.files.files), self.corpus.conversations,
            span.seed, span.stream, span.streams,
        )  # fmt: skip
        documents: list[Document] = []
        held, behind, turn = 0, _cursor(place, "corpus"), None
        for conversation, next_ in walk.items(behind):
            if held >= span.window_bytes or turn not in (None, next_.epoch):
                break
            held, behind, turn = held + conversation.nbytes, next_, next_.epoch
            if (one := self._document(conversation, next_.epoch)) is not None:
                documents.append(one)
        return documents, {"corpus": behind.to_json()}

    def problems(self) -> list[Problems]:
        return [self.corpus.problems]

    def digest(self) -> str:
        return self.corpus.files.digest

    def _document(self, conversation: Conversation, turn: int) -> Document | None:
        if self.augmentation is not None:
            conversation = self.augmentation(conversation, turn)
        try:
            made = conversation_document(conversation, self.text, self.form, turn)
        except LayoutError as error:
            self.corpus.problems.add("no_layout", conversation.sample_id, str(error))
            return None
        except SoundError as error:
            self.corpus.problems.add("undecodable_audio", conversation.sample_id, str(error))
            return None
        if len(made) > self.positions:
            self.corpus.problems.add("too_long", conversation.sample_id, f"{len(made)} positions")
            return None
        return made


@dataclass
class PretrainPlanner(Planner):
    """The `pretrain` corpus and, beside it, texts: the task that is behind its share comes next.

    Shares are of positions. Text-only is held against all tasks of speech together, and those
    against each other, each recording taking the one that is furthest behind of those that it can
    serve and that fit. So the seed gives the order, and the order the tasks.
    """

    corpus: Corpus
    texts: Texts | None
    text: TextTokenizer
    tasks: Tasks
    weights: Mapping[Task, float]
    stored_ids: bool = False  # `text_tokens` of the corpus are the model's own ids
    _encode: Callable[[Segment], tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        encode = self.text.encode
        self._encode = (
            (lambda s: s.text_ids) if self.stored_ids else (lambda s: tuple(encode(s.text)))
        )

    def window(self, place: Place, span: Span) -> tuple[list[Document], Place]:
        at = {"corpus": _cursor(place, "corpus"), "texts": _cursor(place, "texts")}
        done = {task: int(place.get("done", {}).get(task, 0)) for task in Task}
        speech = self._speech(span, at["corpus"])
        texts = self._texts(span, at["texts"])
        documents: list[Document] = []
        held, turn = 0, None
        while held < span.window_bytes:
            text_next = self._text_is_next(done, texts is not None)
            one, behind = next(texts if text_next and texts is not None else speech)
            leading = not text_next or not self._spoken()  # epochs are those of the speech, if any
            if leading and turn not in (None, behind.epoch):
                break
            turn = behind.epoch if leading else turn
            at["texts" if text_next else "corpus"] = behind
            held += one.nbytes
            made = self._lay_out(one, done, behind.epoch)
            for document in made:
                done[Task(document.task)] += len(document)
            documents += made
        where: Place = {name: cursor.to_json() for name, cursor in at.items()}
        return documents, where | {"done": {str(k): v for k, v in done.items()}}

    def problems(self) -> list[Problems]:
        return [self.corpus.problems, *([self.texts.problems] if self.texts else [])]

    def digest(self) -> str:
        return self.corpus.files.digest + (self.texts.files.digest if self.texts else "")

    def epochs(self, place: Place) -> int:
        return _cursor(place, "corpus" if self._spoken() else "texts").epoch

    def _lay_out(self, one: Recording | Text, done: dict[Task, int], turn: int) -> list[Document]:
        if isinstance(one, Text):
            return list(self.tasks.text(one.name, self.text.encode(one.text), turn))
        add = self.corpus.problems.add
        too_long = partial(add, "too_long")
        said = []
        for segment in one.segments:
            if ids := self._encode(segment):
                said.append(Said(segment, ids))
            else:
                add("no_text_tokens", segment.segment_id)
        able = [t for t in self._spoken() if len(said) > (1 if t in INTERLEAVED else 0)]
        if not able:
            if said:
                add("no_task_fits", one.recording_id, f"segments: {len(said)}")
            return []
        # A task that is too long for these segments must not wait for ever, and hold up the others.
        for task in sorted(able, key=lambda t: done[t] / self.weights[t]):
            if made := list(self.tasks.speech(task, said, turn, too_long)):
                return made
        return []

    def _spoken(self) -> list[Task]:
        return [t for t in Task if t is not Task.TEXT and self.weights.get(t, 0) > 0]

    def _text_is_next(self, done: dict[Task, int], there: bool) -> bool:
        spoken, text = self._spoken(), self.weights.get(Task.TEXT, 0)
        if not there or not text or not spoken:
            return there and not spoken
        share = sum(self.weights[t] for t in spoken)
        return done[Task.TEXT] * share < sum(done[t] for t in spoken) * text

    def _speech(self, span: Span, cursor: Cursor) -> Iterator[tuple[Recording | Text, Cursor]]:
        files = self.corpus.files
        return Walk(
            files.place, len(files.files), self.corpus.recordings,
            span.seed, span.stream, span.streams,
        ).items(cursor)  # fmt: skip

    def _texts(
        self, span: Span, cursor: Cursor
    ) -> Iterator[tuple[Recording | Text, Cursor]] | None:
        if self.texts is None:
            return None
        files = self.texts.files
        return Walk(
            files.place, len(files.files), self.texts.documents,
            span.seed, span.stream, span.streams,
        ).items(cursor)  # fmt: skip


def _cursor(place: Place, name: str) -> Cursor:
    return Cursor.from_json(place[name]) if name in place else Cursor()
