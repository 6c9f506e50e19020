"""The content of sources: recordings, their labelled items, and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Task(StrEnum):
    """Tasks of labelled items (section 3.2 of the paper)."""

    ASR = "asr"
    AQA = "aqa"
    AAC = "aac"
    SER = "ser"
    SEC = "sec"
    ASC = "asc"


class MessageOf(StrEnum):
    """`task` of an item that is a message of a written conversation: who writes it."""

    SYSTEM = "system_message"
    USER = "user_message"
    ASSISTANT = "assistant_message"


@dataclass(frozen=True, slots=True)
class Item:
    """A labelled utterance of a manifest: one span of a recording with its transcript or answer.

    Items skip denoise, diarize and transcribe; their audio is the original recording.
    """

    item_id: str  # hash of recording, offset, duration, task, question, answer, text, channel
    start_ms: int
    end_ms: int
    task: str = Task.ASR
    text: str | None = None
    question: str | None = None
    answer: str | None = None
    speaker: str | None = None
    language: str | None = None
    license: str | None = None
    split: str | None = None
    metadata: str = "{}"  # JSON text: the fields that have no column
    channel: int | None = None  # of the file, from 0; None: all of them, mixed down


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio file (or one member of a tar file), identified by the hash of its bytes."""

    recording_id: str  # 32 hex digits
    uri: str  # path or URI; a tar member is `path/to/file.tar#member.flac`
    duration_ms: int  # by its packets; decoding may give another length
    regions: tuple[tuple[int, int], ...] = ()  # (start_ms, end_ms) to use; empty: all of it
    speaker: str | None = None
    language: str | None = None
    license: str | None = None
    split: str | None = None
    metadata: str = "{}"
    items: tuple[Item, ...] = ()  # empty for a raw recording

    @property
    def labelled(self) -> bool:
        """Whether it has labelled items."""
        return bool(self.items)

    @property
    def written(self) -> bool:
        """Whether it is a written conversation: its items are the messages, and it has no audio."""
        return bool(self.items) and self.items[0].task in tuple(MessageOf)


@dataclass(frozen=True, slots=True)
class SourceError:
    """An entry of a source that cannot be used: a row of the errors table, stage `manifest`."""

    source: str  # with `:LINE` for a line of a manifest
    reason: str  # stable snake_case name
    message: str


@dataclass(slots=True)
class Sources:
    """Everything found under the sources."""

    recordings: list[Recording] = field(default_factory=list)  # one per content, sorted by id
    errors: list[SourceError] = field(default_factory=list)
    duplicates: int = 0  # files whose content was already there under another name
    notes: list[str] = field(default_factory=list)  # for the user; not errors
