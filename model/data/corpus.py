"""The corpora as Python objects, file by file and in the order of their rows.

`pipeline/corpora` declares the columns; they are read here by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from wavemill.model.data.files import Files, corpus_files
from wavemill.model.data.source import DataError, Problems

TRAIN = frozenset({"train", None})  # splits to learn from; None: no split was assigned
DRAWN = ("validation", "test")  # splits that curate draws
SEGMENT_COLUMNS = [
    "recording_id", "segment_id", "split", "speaker", "text", "text_tokens", "semantic_tokens",
    "audio",
]  # fmt: skip
CONVERSATION_COLUMNS = ["sample_id", "task", "source", "split", "speaker", "messages"]


@dataclass(frozen=True)
class Sound:
    """Stored audio and its semantic tokens."""

    data: bytes  # a file of sound: FLAC, mono
    codes: np.ndarray  # int32 (tokens,), 12.5 a second
    # float32 (samples,), mono, at 16 kHz, if it differs from `data` (augmentation)
    waveform: np.ndarray | None = None


@dataclass(frozen=True)
class Segment:
    """A row of `pretrain`."""

    row: int  # of its file
    segment_id: str
    recording_id: str
    split: str | None
    speaker: str
    text: str
    text_ids: tuple[int, ...]  # of the corpus's text tokenizer
    sound: Sound


@dataclass(frozen=True)
class Recording:
    """Segments of one recording, in time order."""

    recording_id: str
    segments: tuple[Segment, ...]

    @property
    def id(self) -> str:
        return self.segments[0].segment_id

    @property
    def next_row(self) -> int:
        """Return where, in its file, the next recording starts."""
        return self.segments[-1].row + 1

    @property
    def nbytes(self) -> int:
        return sum(len(s.sound.data) + s.sound.codes.nbytes + len(s.text) for s in self.segments)


@dataclass(frozen=True)
class Spoken:
    """One message of a conversation: text, or sound, or (the assistant's) both."""

    role: str
    text: str | None
    sound: Sound | None


@dataclass(frozen=True)
class Conversation:
    """A row of `sft`."""

    row: int
    sample_id: str
    task: str
    split: str | None
    messages: tuple[Spoken, ...]
    speaker: str = ""  # of the user's messages
    source: str = ""  # URI of the recording

    @property
    def id(self) -> str:
        return self.sample_id

    @property
    def next_row(self) -> int:
        return self.row + 1

    @property
    def nbytes(self) -> int:
        return sum(len(m.text or "") + len(m.sound.data if m.sound else b"") for m in self.messages)


class Corpus:
    """One corpus of a WORKDIR. Rows that cannot be used are counted as problems and skipped."""

    def __init__(
        self, files: Files, splits: frozenset[str | None] = TRAIN, audio: bool = True
    ) -> None:
        """Read rows of `splits`; with `audio` False, sounds have codes and no data."""
        self.files = files
        self.splits = splits
        self.audio = audio
        self.problems = Problems()

    @classmethod
    def open(cls, place: str, corpus: str, splits: frozenset[str | None] = TRAIN) -> Corpus:
        """Find a corpus of a WORKDIR, a path or URL; see `corpus_files`. Raises DataError."""
        return cls(corpus_files(place, corpus), splits)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Return the key-value metadata of the first readable file: `semantic_tokenizer` etc.

        Raises DataError when no file can be read.
        """
        for file in self.files.files:
            try:
                return file.metadata()
            except (OSError, pa.ArrowException) as error:
                self.problems.add("corrupted_file", file.name, str(error).splitlines()[0])
        raise DataError(f"none of the files in {self.files.place} can be read")

    @property
    def codebook_size(self) -> int:
        """Return how many semantic tokens there are. Raises DataError if the files do not say."""
        size = self.metadata.get("semantic_vocab_size", "")
        if not size.isdigit():
            raise DataError(f"{self.files.place}: no semantic_vocab_size in the files' metadata")
        return int(size)

    @cached_property
    def _read(self) -> _Read:
        try:
            return _Read(self.audio, self.codebook_size)
        except DataError:
            return _Read(self.audio)

    def segments(self, file: int, start: int = 0) -> Iterator[Segment]:
        """Yield the usable segments of the `file`-th file, from row `start` on."""
        columns = [c for c in SEGMENT_COLUMNS if self.audio or c != "audio"]
        yield from self._rows(file, columns, start, partial(_segment, self._read))

    def recordings(self, file: int, start: int = 0) -> Iterator[Recording]:
        """Yield the recordings of a file: segments with the same id that follow each other."""
        held: list[Segment] = []
        for segment in self.segments(file, start):
            if held and held[0].recording_id != segment.recording_id:
                yield Recording(held[0].recording_id, tuple(held))
                held = []
            held.append(segment)
        if held:
            yield Recording(held[0].recording_id, tuple(held))

    def conversations(self, file: int, start: int = 0) -> Iterator[Conversation]:
        """Yield the usable conversations of the `file`-th file, from row `start` on."""
        columns = CONVERSATION_COLUMNS
        if not self.audio:
            fields = ("role", "kind", "text", "semantic_tokens")
            columns = [*columns[:-1], *(f"messages.list.element.{name}" for name in fields)]
        yield from self._rows(file, columns, start, partial(_conversation, self._read))

    def recording_ids(self) -> set[str]:
        """Return the ids of the recordings whose rows are in the splits."""
        columns = ["recording_id", "sample_id", "split"]  # old conversations have no recording_id
        return {
            row["recording_id"] or row["sample_id"].partition("-")[0]
            for file in self.files.files
            for _, row in file.rows(columns, self.problems)
            if row["split"] in self.splits and (row["recording_id"] or row["sample_id"])
        }

    def _rows(
        self, file: int, columns: list[str], start: int, made: Callable[[int, dict[str, Any]], Any]
    ) -> Iterator[Any]:
        source = self.files.files[file]
        rare = None if self.splits == TRAIN else self.splits
        for number, row in source.rows(columns, self.problems, start, rare):
            if row["split"] not in self.splits:
                continue
            try:
                yield made(number, row)
            except _Unusable as error:
                name = row.get("segment_id") or row.get("sample_id") or f"row {number}"
                self.problems.add(error.reason, f"{source.name} {name}")


def nothing_held_out(
    place: str, split: str, field: str, there: Collection[str | None], speaker: str | None = None
) -> str:
    """Return a line that a corpus has no row of a held-out split, what it has, and what to do.

    `field` is the recipe's field that names the split; `there` are the splits that have usable
    rows (None: rows without a split), of one `speaker` if the training is on one.
    """
    whose = "" if speaker is None else f" of speaker {speaker!r}"
    others = sorted(name for name in there if name is not None and name not in TRAIN)
    named = [*others, *(["train"] if "train" in there else [])]
    listed = ", ".join([*named, *(["rows without a split"] if None in there else [])]) or "none"
    if others:
        remedy = f"--set {field}={'test' if 'test' in others else others[0]}"
    elif speaker is None:
        remedy = f"wavemill curate --set splits.{split if split in DRAWN else DRAWN[0]}=0.05"
    else:  # curate draws splits by speaker
        remedy = f"a manifest that gives some of them the split {split!r}"
    return (
        f"nothing is held out: {place} has no usable row{whose} in split {split!r} "
        f"(splits there: {listed}), "
        f"so no held-out losses and no decoded samples will appear; remedy: {remedy}"
    )


class _Unusable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class _Read:
    """Whether audio is read, and which codes are valid."""

    audio: bool
    codes: int | None = None  # size of the codebook, if the files say it


def _segment(how: _Read, number: int, row: dict[str, Any]) -> Segment:
    return Segment(
        row=number,
        segment_id=_required(row, "segment_id"),
        recording_id=_required(row, "recording_id"),
        split=row["split"],
        speaker=row["speaker"] or "",
        text=row["text"] or "",
        text_ids=tuple(row["text_tokens"] or ()),
        sound=_sound(how, row.get("audio"), row["semantic_tokens"]),
    )


def _conversation(how: _Read, number: int, row: dict[str, Any]) -> Conversation:
    messages = tuple(_message(how, message) for message in row["messages"] or ())
    if not messages or messages[-1].role != "assistant":
        raise _Unusable("no_answer")
    return Conversation(
        row=number,
        sample_id=_required(row, "sample_id"),
        task=row["task"] or "",
        split=row["split"],
        messages=messages,
        speaker=row.get("speaker") or "",
        source=row.get("source") or "",
    )


def _message(how: _Read, message: dict[str, Any]) -> Spoken:
    if message.get("role") not in ("user", "assistant"):
        raise _Unusable("unknown_role")
    if message.get("kind") == "audio":
        sound = _sound(how, message.get("audio"), message.get("semantic_tokens"))
        return Spoken(message["role"], message.get("text"), sound)
    if message.get("text") is None:
        raise _Unusable("no_text")
    return Spoken(message["role"], message["text"], None)


def _sound(how: _Read, audio: dict[str, Any] | None, codes: list[int] | None) -> Sound:
    if not codes:
        raise _Unusable("no_semantic_tokens")
    if min(codes) < 0 or (how.codes is not None and max(codes) >= how.codes):
        raise _Unusable("no_such_semantic_token")
    if not how.audio:
        return Sound(b"", np.asarray(codes, np.int32))
    if not audio or not audio.get("bytes"):
        raise _Unusable("no_audio")
    return Sound(audio["bytes"], np.asarray(codes, np.int32))


def _required(row: dict[str, Any], column: str) -> str:
    if not row[column]:
        raise _Unusable(f"no_{column}")
    return str(row[column])
