"""What one manifest line says about a span of a recording, whatever format the line had."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manifests.reasons import EntryError, Reason
from manifests.recording import Task

AUDIO_FIELDS = ("audio", "audio_filepath")
# NeMo's multilingual manifests say `lang`, its translation manifests `source_lang` for the audio
# (and `lang` for the text), so `source_lang` goes before `lang`.
LANGUAGE_FIELDS = ("language", "source_lang", "lang")
MOST_CHANNELS = 32_767  # what the tables hold
_TEXTS = ("text", "answer", "question", "task", "license", "split")
_COLUMNS = frozenset({*AUDIO_FIELDS, "speaker", "offset", "duration", *_TEXTS})


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a statement stands: what comes first in this order wins over what comes later."""

    path: str
    line: int = 0  # from 1; 0 where there are no lines

    @property
    def uri(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Label:
    """One statement about [start_ms, end_ms) of a recording; `end_ms` None: up to its end."""

    origin: Origin
    start_ms: int
    end_ms: int | None
    task: str | None
    text: str | None
    question: str | None
    answer: str | None
    speaker: str | None
    language: str | None
    license: str | None
    split: str | None
    metadata: str  # JSON text
    channel: int | None = None  # of the file, from 0; None: all of them

    @property
    def labelled(self) -> bool:
        """Whether it is a labelled item; otherwise it only says which part to use."""
        return self.text is not None or self.answer is not None


def parse_label(fields: Mapping[str, Any], origin: Origin) -> Label:
    """Return the fields of a manifest line as a Label.

    Times are rounded to milliseconds. A text that is empty counts as absent (manifests made for
    inference leave it so). Fields without a column go to `metadata`, keys sorted; so do `task`
    and `question` of a line that has no text and no answer. A `channel` that is an integer says
    which channel of the file the line is about (and stays in the metadata); another value is the
    name of something else.
    Raises EntryError (`bad_field`) for a wrong type, a negative time or channel, an empty span, or
    a label from which no one could tell what is asked: a task other than Task's, or AQA, without
    question.
    """
    texts = {name: _text(fields, name) for name in _TEXTS}
    language_field = next((n for n in LANGUAGE_FIELDS if fields.get(n) is not None), "language")
    extra = {k: v for k, v in fields.items() if k not in _COLUMNS and k != language_field}
    task = texts.pop("task")
    question = texts.pop("question")
    if texts["text"] is None and texts["answer"] is None:
        extra |= {k: v for k, v in (("task", task), ("question", question)) if v is not None}
        task = question = None
    else:
        task = _task(task, question, texts["answer"])
    start_ms, end_ms = _span(fields)
    return Label(
        origin=origin,
        start_ms=start_ms,
        end_ms=end_ms,
        task=task,
        question=question,
        speaker=_name(fields, "speaker"),
        language=_text(fields, language_field),
        metadata=_json(extra),
        channel=_channel(fields),
        **texts,
    )


def _channel(fields: Mapping[str, Any]) -> int | None:
    value = fields.get("channel")
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if not 0 <= value <= MOST_CHANNELS:
        raise EntryError(Reason.BAD_FIELD, f"channel must be from 0 to {MOST_CHANNELS}")
    return value


def _task(task: str | None, question: str | None, answer: str | None) -> str:
    if task is None:
        task = Task.ASR if answer is None else Task.AQA
    task = str(task).lower()
    if question is None and (task == Task.AQA or task not in set(Task)):
        known = ", ".join(sorted(set(Task) - {Task.AQA}))
        message = f"a label of task {task!r:.80} needs a question; tasks without one: {known}"
        raise EntryError(Reason.BAD_FIELD, message)
    return task


def _span(fields: Mapping[str, Any]) -> tuple[int, int | None]:
    offset = _seconds(fields, "offset") or 0.0
    duration = _seconds(fields, "duration")
    if offset < 0:
        raise EntryError(Reason.BAD_FIELD, f"offset is negative: {offset:g} s")
    if duration is None:
        return round(offset * 1000), None
    # The end is rounded by itself, so that spans that touch still do.
    start_ms, end_ms = round(offset * 1000), round((offset + duration) * 1000)
    if end_ms <= start_ms:
        raise EntryError(Reason.BAD_FIELD, f"duration must be above 0: {duration:g} s")
    return start_ms, end_ms


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    return seconds(value, name)


def seconds(value: Any, name: str) -> float:
    """Return a JSON value as finite seconds. Raises EntryError (`bad_field`) naming the field."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a number of seconds, not {value!r:.80}")
    # A bound far above any recording keeps what follows within 64-bit milliseconds.
    if not math.isfinite(value) or abs(value) > 1e12:
        raise EntryError(Reason.BAD_FIELD, f"{name} is out of range")
    return float(value)


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a text, not {value!r:.80}")
    return value if value.strip() else None


def _name(fields: Mapping[str, Any], name: str) -> str | None:
    # Speakers are often numbers.
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(fields, name)


def _json(extra: Mapping[str, Any]) -> str:
    if not extra:
        return "{}"
    try:
        return json.dumps(extra, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise EntryError(Reason.BAD_FIELD, f"a field cannot be kept as JSON: {error}") from error
