"""The label that a manifest line gives a span of a recording, in any format of manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wavemill.manifests.languages import language_code
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.recording import MessageOf, Task
from wavemill.manifests.spans import read_span
from wavemill.manifests.values import (
    cached_by_text,
    is_missing,
    read_answer,
    read_name,
    read_text,
    words_of_key,
)

AUDIO_FIELDS = ("audio", "audio_filepath")
# NeMo's multilingual manifests say `lang`, its translation manifests `source_lang` for the audio
# (and `lang` for the text), so `source_lang` goes before `lang`.
_LANGUAGE_FIELDS = ("language", "source_lang", "lang")
# Names of each column, in the order in which they are looked for; case and `_` do not matter.
_FIELDS = {
    "audio": (
        *AUDIO_FIELDS,
        *("audio_path", "audio_file", "audio_file_path", "audio_filename", "audio_file_name"),
        *("wav", "wav_path", "wav_file", "wav_filepath", "wav_filename", "filepath", "file_path"),
        *("filename", "file_name", "file", "path"),
    ),
    "text": ("text", "transcript", "transcription", "sentence"),
    "answer": ("answer",),
    "question": ("question",),
    "task": ("task",),
    "speaker": ("speaker", "speaker_id", "spk_id", "spk", "client_id"),
    "language": (
        *_LANGUAGE_FIELDS,
        *("src_lang", "language_code", "lang_code", "locale", "language_id", "lang_id"),
    ),
    "license": ("license", "licence"),
    "split": ("split",),
    "channel": ("channel", "channel_selector", "channel_index", "channel_idx"),
}
_COLUMNS = frozenset(
    {*AUDIO_FIELDS, "speaker", "offset", "duration", "text", "answer", "question"}
    | {"task", "license", "split"}
)
_INTEGER = re.compile(r"\s*([+-]?)0*(\d+)(?:\.0*)?\s*", re.ASCII)
_CHANNEL_NAMES = {"left": 0, "right": 1}
MAX_CHANNEL = 32_767  # what the tables hold
_ALL_CHANNELS = frozenset({"average", "mix", "all"})  # NeMo says `average`


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a label was found; if labels differ, the first one in this order counts."""

    path: str
    line: int = 0  # from 1; 0 if there are no lines

    @property
    def uri(self) -> str:
        """The path, with `:LINE` if there are lines."""
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Label:
    """A label on [start_ms, end_ms) of a recording; `end_ms` None: up to its end."""

    origin: Origin
    start_ms: int
    end_ms: int | None
    task: str | None
    text: str | None
    question: str | None
    answer: str | None
    speaker: str | None
    language: str | None  # a code, see `language_code`
    license: str | None
    split: str | None
    metadata: str  # JSON text
    channel: int | None = None  # place in the file, from 0; None: all, mixed down
    unknown_language: str | None = None  # as stated, if no code is known for it

    @property
    def labelled(self) -> bool:
        """Whether it is a labelled item; otherwise it only selects a part of the recording."""
        return self.text is not None or self.answer is not None


def audio_field(fields: Mapping[str, Any]) -> str | None:
    """Return the field that names the recording, None if there is none."""
    exact = next((name for name in AUDIO_FIELDS if fields.get(name) is not None), None)
    if exact is not None:
        return exact
    found = _by_column(fields).get("audio", ())
    return next((key for _, key in found if isinstance(fields[key], str)), None)


def parse_label(fields: Mapping[str, Any], origin: Origin, audio_name: str | None = None) -> Label:
    """Return the fields of a manifest line as a Label; `audio_name` is the one that names the file.

    Times are rounded to milliseconds. A text that is empty counts as absent (manifests made for
    inference leave it so). A `channel` (NeMo: `channel_selector`) that is a number is the one
    channel of the file that the line is about; another value is the name of something else.
    Fields without a column go to `metadata`, keys sorted; so do channels, a language that is not
    written as its code, and `task` and `question` of a line that has no text and no answer.
    Raises EntryError for what cannot be used: `bad_field` for a wrong type, a span that is wrong or
    not understood, or a label from which no one could tell what is asked (a task other than
    Task's, or AQA, without question); `unsupported_channel` for several channels.
    """
    read = _Reader(fields)
    text, answer = read.find("text", read_text), read.find("answer", read_answer)
    task, question = read.find("task", read_name), read.find("question", read_text)
    about = {name: read.find(name, read_name) for name in ("speaker", "license", "split")}
    language, stated = read.language()
    span = read_span(fields)
    taken = read.taken | span.used | {audio_name}
    extra = {key: value for key, value in fields.items() if key not in taken}
    if stated is not None and language != stated[1]:
        extra[stated[0]] = stated[1]
    if text is None and answer is None:
        extra |= {k: v for k, v in (("task", task), ("question", question)) if v is not None}
        task = question = None
    else:
        task = _task(task, question, answer)
    return Label(
        origin=origin,
        start_ms=round(span.start * 1000),
        end_ms=None if span.end is None else round(span.end * 1000),
        task=task,
        text=text,
        question=question,
        answer=answer,
        language=language,
        metadata=_json(extra),
        channel=read.channel(),
        unknown_language=stated[1] if stated is not None and language is None else None,
        **about,
    )


class _Reader:
    """Finds the values of columns under any of their names, and collects the fields used."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self._found = _by_column(fields)
        first = next((n for n in _LANGUAGE_FIELDS if fields.get(n) is not None), "language")
        self.taken = {*_COLUMNS, first}

    def find(self, column: str, read: Callable[[Any, str], str | None]) -> str | None:
        """Return the first value under a name of the column. Raises EntryError."""
        found = self._first(column, read)
        return None if found is None else found[1]

    def language(self) -> tuple[str | None, tuple[str, str] | None]:
        """Return the code of the language, and the (field, value) in which it is stated."""
        stated = self._first("language", read_name)
        return (None if stated is None else language_code(stated[1])), stated

    def _first(self, column: str, read: Callable[[Any, str], str | None]) -> tuple[str, str] | None:
        for _, key in self._found.get(column, ()):
            value = read(self._fields[key], key)
            if value is not None:
                self.taken.add(key)
                return key, value
        return None

    def channel(self) -> int | None:
        """Return the channel that a line is about, from 0; None: all. Raises EntryError."""
        found = (key for _, key in self._found.get("channel", ()))
        name = next((key for key in found if not is_missing(self._fields[key])), None)
        if name is None:
            return None
        value = self._fields[name]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        word = str(value).strip().lower()
        if word in _ALL_CHANNELS:
            return None
        number = _INTEGER.fullmatch(str(_CHANNEL_NAMES.get(word, value)))
        if number is None:
            if _plain(name) == "channel":  # for example of a broadcaster
                return None
            message = f"{name} must be the number of one channel, from 0, not {value!r:.80}"
            raise EntryError(Reason.UNSUPPORTED_CHANNEL, message)
        sign, digits = number.groups()
        if sign == "-" or len(digits) > len(str(MAX_CHANNEL)) or int(digits) > MAX_CHANNEL:
            raise EntryError(Reason.BAD_FIELD, f"{name} must be from 0 to {MAX_CHANNEL}")
        return int(digits)


def _by_column(fields: Mapping[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """Return column -> (rank, field) of the fields that name it, in the order of ranks."""
    found: dict[str, list[tuple[int, str]]] = {}
    for key in fields:
        column = _column(key)
        if column is not None:
            found.setdefault(column[0], []).append((column[1], key))
    for keys in found.values():
        keys.sort()
    return found


@cached_by_text
def _column(key: str) -> tuple[str, int] | None:
    """Return (column, rank) of a field; names in exactly this spelling rank first."""
    place = _PLACES.get(_plain(key))
    return None if place is None else (place[0], 2 * place[1] + (key not in _FIELDS[place[0]]))


def _plain(key: str) -> str:
    return "".join(words_of_key(key))


_PLACES = {
    _plain(name): (column, place)
    for column, names in _FIELDS.items()
    for place, name in enumerate(names)
}


def _task(task: str | None, question: str | None, answer: str | None) -> str:
    if task is None:
        task = Task.ASR if answer is None else Task.AQA
    task = str(task).lower()
    if task in tuple(MessageOf):
        raise EntryError(Reason.BAD_FIELD, f"task {task!r} is that of written conversations")
    if question is None and (task == Task.AQA or task not in set(Task)):
        known = ", ".join(sorted(set(Task) - {Task.AQA}))
        message = f"a label of task {task!r:.80} needs a question; tasks without one: {known}"
        raise EntryError(Reason.BAD_FIELD, message)
    return task


def _json(extra: Mapping[str, Any]) -> str:
    if not extra:
        return "{}"
    try:
        return json.dumps(extra, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise EntryError(Reason.BAD_FIELD, f"a field cannot be kept as JSON: {error}") from error
