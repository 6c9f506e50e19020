"""Which documents come next: windows of the data, shuffled and packed one by one.

A window is as much of the data as memory may hold, and never more than an epoch. A window is
determined by the place where it begins, so a position in the data is a few numbers.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from wavemill.model.data.augment import Augmentation
from wavemill.model.data.corpus import Conversation, Corpus, Recording, Segment
from wavemill.model.data.documents import (
    INTERLEAVED,
    Document,
    Said,
    Task,
    Tasks,
    conversation_document,
    has_reference,
    with_hidden_codes,
)
from wavemill.model.data.mixture import Mixture
from wavemill.model.data.sound import SoundError
from wavemill.model.data.source import DataError, Problems
from wavemill.model.data.texts import Text, Texts
from wavemill.model.prompt.layout import Format, LayoutError
from wavemill.model.prompt.text import TextTokenizer


class Entry(Protocol):
    """What a walk yields: a conversation, a recording or a text, within one file."""

    @property
    def next_row(self) -> int: ...

    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Entry)
SAMPLED = 768  # rows that an estimate lays out: seconds
STRETCH = 12  # of them that follow each other


@dataclass(frozen=True)
class Cursor:
    """Where the next entry is."""

    epoch: int = 0
    file: int = 0  # place in this epoch's order
    row: int = 0  # of that file
    entry: int = 0  # entries of this epoch before it, where streams share files

    def to_json(self) -> list[int]:
        return [self.epoch, self.file, self.row, self.entry]

    @classmethod
    def from_json(cls, numbers: list[int]) -> Cursor:
        return cls(*(int(number) for number in numbers))


@dataclass(frozen=True)
class Walk(Generic[T]):
    """The entries of one of several streams, which divide the data among themselves.

    Each epoch has its own order of files. A stream takes every n-th file, or every n-th entry of
    all files if there are fewer files than streams; if there are fewer entries still, some
    streams have the same entry. A stream that finds nothing in its files (all broken or held out)
    has other files in the next epoch.
    """

    place: str  # for messages
    files: int
    read: Callable[[int, int], Iterator[T]]  # (file, row): its entries from there on
    seed: int
    stream: int = 0
    streams: int = 1

    def entries(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        """Yield entries from `cursor` on, epoch after epoch, and the cursor behind each.

        Raises DataError when there is nothing in any file.
        """
        found = True
        while found or self._anything():
            found = cursor != Cursor(cursor.epoch)  # begun before: the rest of it may be empty
            for entry, behind in self._epoch(cursor):
                found = True
                yield entry, behind
            cursor = Cursor(cursor.epoch + 1)
        raise DataError(
            f"{self.place}: nothing there to learn from; remedy: look at what was skipped, and "
            "whether rows have the split 'train'"
        )

    def _epoch(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        order = np.random.default_rng((self.seed, cursor.epoch)).permutation(self.files).tolist()
        if self.files >= self.streams:
            yield from self._all(cursor, order[self.stream :: self.streams])
            return
        count = cursor.entry
        for entry, behind in self._all(cursor, order):
            count = behind.entry
            if (count - 1) % self.streams == self.stream:
                yield entry, behind
        if cursor == Cursor(cursor.epoch) and 0 < count <= self.stream:
            pairs = self._all(cursor, order)
            yield from (pair for pair in pairs if pair[1].entry - 1 == self.stream % count)

    def _all(self, cursor: Cursor, order: list[int]) -> Iterator[tuple[T, Cursor]]:
        """Yield the entries behind a cursor of files in this order, of all streams."""
        number, row = cursor.entry, cursor.row
        for place in range(cursor.file, len(order)):
            for entry in self.read(order[place], row):
                number += 1
                yield entry, Cursor(cursor.epoch, place, entry.next_row, number)
            row = 0

    def _anything(self) -> bool:
        return any(True for file in range(self.files) for _ in self.read(file, 0))


Place = dict[str, Any]  # JSON: where a window begins


@dataclass(frozen=True)
class Span:
    """Which stream of the data is read, and how much of it makes a window."""

    stream: int = 0
    streams: int = 1
    seed: int = 0
    window_bytes: int = 256 << 20  # of stored audio and text
    # The window counts what documents take in memory as well: texts take ten times their bytes.
    whole: bool = False


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
        """Return a hash of the files' names and sizes: a resumed training must have the same."""

    def epochs(self, place: Place) -> int:
        """Return how many epochs are complete at a place."""
        return _cursor(place, "corpus").epoch


@dataclass
class ConversationPlanner(Planner):
    """The `sft` corpus."""

    corpus: Corpus
    text: TextTokenizer
    form: Format
    positions: int  # of the longest document
    augmentation: Augmentation | None = None  # another sound in each epoch
    hidden_codes: float = 0.0  # share, others in each epoch
    seed: int = 0  # of which codes are hidden
    mixture: Mixture | None = None  # which rows an epoch takes; None: all

    def window(self, place: Place, span: Span) -> tuple[list[Document], Place]:
        walk: Walk[Conversation] = Walk(
            self.corpus.files.place, len(self.corpus.files.files), self.corpus.conversations,
            span.seed, span.stream, span.streams,
        )  # fmt: skip
        documents: list[Document] = []
        held, behind, epoch = 0, _cursor(place, "corpus"), None
        for conversation, next_ in walk.entries(behind):
            if held >= span.window_bytes or epoch not in (None, next_.epoch):
                break
            behind, epoch = next_, next_.epoch
            if self.mixture is not None and not self.mixture.takes(conversation, epoch):
                continue
            held += conversation.nbytes
            if (one := self._document(conversation, next_.epoch)) is not None:
                documents.append(one)
                held += one.array_bytes if span.whole else 0
        return documents, {"corpus": behind.to_json()}

    def problems(self) -> list[Problems]:
        return [self.corpus.problems]

    def digest(self) -> str:
        return self.corpus.files.digest

    def positions_by(
        self, owner: Callable[[Conversation], str], estimated: bool, seed: int = 0
    ) -> dict[str, int]:
        """Return the positions of an epoch, by what `owner` says of a row.

        If `estimated`, at most SAMPLED rows are laid out, in stretches that are spread over the
        corpus by the seed, and the rest is taken to be alike.
        """
        found: Counter[str] = Counter()
        sizes = self.corpus.files.sizes
        starts = [
            (number, start, size)
            for number, of_file in enumerate(sizes)
            for start, size in zip(accumulate([0, *of_file]), of_file, strict=False)
        ]
        rows = np.array([size for *_, size in starts], np.float64)
        count, longest = len(starts), SAMPLED
        if estimated:
            count = min(count, SAMPLED // STRETCH)
            share = rows / rows.sum()
            chosen = np.random.default_rng(seed).choice(len(rows), count, replace=False, p=share)
            starts = [starts[i] for i in sorted(chosen.tolist())]
            longest = SAMPLED // count
        seen = 0
        for number, start, size in starts:
            end = start + (min(size, longest) if estimated else size)
            seen += end - start
            for one in self.corpus.conversations(number, start):
                if one.row >= end:
                    break
                made = self._document(one, 0)
                if made is not None and made.loss_positions:
                    found[owner(one)] += len(made)
        return {name: round(n * rows.sum() / max(1, seen)) for name, n in found.items()}

    def _document(self, conversation: Conversation, epoch: int) -> Document | None:
        if self.augmentation is not None:
            conversation = self.augmentation(conversation, epoch)
        try:
            made = conversation_document(conversation, self.text, self.form)
        except LayoutError as error:
            self.corpus.problems.add("no_layout", conversation.sample_id, str(error))
            return None
        except SoundError as error:
            self.corpus.problems.add("undecodable_audio", conversation.sample_id, str(error))
            return None
        if len(made) > self.positions:
            self.corpus.problems.add("too_long", conversation.sample_id, f"{len(made)} positions")
            return None
        if self.hidden_codes:
            rng = np.random.default_rng((self.seed, epoch, zlib.crc32(made.id.encode())))
            made = with_hidden_codes(made, self.hidden_codes, self.form.vocabulary.blank, rng)
        return made


@dataclass
class PretrainPlanner(Planner):
    """The `pretrain` corpus and texts beside it: the task furthest below its share comes next.

    Shares are of positions. The text task is compared with all speech tasks together; then a
    recording takes the speech task that is furthest below its share, of those that it can serve
    and that fit. So the seed determines the order, and the order determines the tasks.
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
        held, epoch = 0, None
        while held < span.window_bytes:
            text_next = self._text_is_next(done, texts is not None)
            one, behind = next(texts if text_next and texts is not None else speech)
            leading = not text_next or not self._spoken()  # epochs are those of the speech, if any
            if leading and epoch not in (None, behind.epoch):
                break
            epoch = behind.epoch if leading else epoch
            at["texts" if text_next else "corpus"] = behind
            held += one.nbytes
            made = self._lay_out(one, done)
            for document in made:
                done[Task(document.task)] += len(document)
                held += document.array_bytes if span.whole else 0
            documents += made
        where: Place = {name: cursor.to_json() for name, cursor in at.items()}
        return documents, where | {"done": {str(k): v for k, v in done.items()}}

    def problems(self) -> list[Problems]:
        return [self.corpus.problems, *([self.texts.problems] if self.texts else [])]

    def digest(self) -> str:
        return self.corpus.files.digest + (self.texts.files.digest if self.texts else "")

    def epochs(self, place: Place) -> int:
        return _cursor(place, "corpus" if self._spoken() else "texts").epoch

    def _lay_out(self, one: Recording | Text, done: dict[Task, int]) -> list[Document]:
        if isinstance(one, Text):
            return list(self.tasks.text(one.name, self.text.encode(one.text)))
        add = self.corpus.problems.add
        too_long = partial(add, "too_long")
        said = []
        for segment in one.segments:
            if ids := self._encode(segment):
                said.append(Said(segment, ids))
            else:
                add("no_text_tokens", segment.segment_id)
        able = [t for t in self._spoken() if len(said) > (1 if t in INTERLEAVED else 0)]
        if Task.TTS_WITH_REFERENCE in able and not has_reference(said):
            able.remove(Task.TTS_WITH_REFERENCE)
        if not able:
            if said:
                add("no_task_fits", one.recording_id, f"segments: {len(said)}")
            return []
        # A task that is too long for these segments must not hold up the others.
        for task in sorted(able, key=lambda t: done[t] / self.weights[t]):
            if made := list(self.tasks.speech(task, said, too_long)):
                return made
        return []

    def _spoken(self) -> list[Task]:
        return [t for t in Task if t is not Task.TEXT and self.weights.get(t, 0) > 0]

    def _text_is_next(self, done: dict[Task, int], has_texts: bool) -> bool:
        spoken, text = self._spoken(), self.weights.get(Task.TEXT, 0)
        if not has_texts or not text or not spoken:
            return has_texts and not spoken
        share = sum(self.weights[t] for t in spoken)
        return done[Task.TEXT] * share < sum(done[t] for t in spoken) * text

    def _speech(self, span: Span, cursor: Cursor) -> Iterator[tuple[Recording | Text, Cursor]]:
        files = self.corpus.files
        return Walk(
            files.place, len(files.files), self.corpus.recordings,
            span.seed, span.stream, span.streams,
        ).entries(cursor)  # fmt: skip

    def _texts(
        self, span: Span, cursor: Cursor
    ) -> Iterator[tuple[Recording | Text, Cursor]] | None:
        if self.texts is None:
            return None
        files = self.texts.files
        return Walk(
            files.place, len(files.files), self.texts.documents,
            span.seed, span.stream, span.streams,
        ).entries(cursor)  # fmt: skip


def _cursor(place: Place, name: str) -> Cursor:
    return Cursor.from_json(place[name]) if name in place else Cursor()
