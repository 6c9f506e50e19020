"""The part of a recording that a manifest line is about, under many names of fields.

NeMo writes `offset` and `duration`, in seconds; if a line has both, no other field counts. Other
tools write `start` and `end`, `begin_time`, `start_ms`, `segmentEnd` and so on. They are used if
their meaning is clear. If it is not (samples, two fields that differ), the line is an error, since
a text must not be assigned to the whole file because its span was not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.values import (
    cached_by_text,
    is_missing,
    read_seconds,
    seconds,
    words_of_key,
)

_ROLES = {
    **dict.fromkeys(("start", "starts", "begin", "onset", "offset", "from", "xmin"), "start"),
    **dict.fromkeys(("end", "ends", "stop", "to", "until", "xmax"), "end"),
    **dict.fromkeys(("duration", "dur"), "duration"),
    **dict.fromkeys(("length", "len"), "length"),
}
_SECONDS = frozenset({"s", "sec", "secs", "second", "seconds"})
_MILLISECONDS = frozenset({"ms", "msec", "msecs", "millis", "millisecond", "milliseconds"})
_OTHER_UNITS = frozenset(
    {"sample", "samples", "frame", "frames", "us", "ns", "idx", "index", "minute", "minutes"}
)
_FILE = frozenset({"audio", "file", "wav", "recording", "total"})
_PART = frozenset(
    {"segment", "seg", "clip", "utterance", "utt", "speech", "sentence", "region", "chunk", "cut"}
    | {"time", "timestamp", "ts", "t", "at", "pos", "position", "in"}
)
_PAIRS = _PART | {"times", "timestamps", "span", "interval", "range"}  # of [start, end]
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?|\d{8}T")
_AGREE_S = 0.05  # two fields for one time may differ by so much, since they are rounded


class _Meaning(NamedTuple):
    role: str | None  # None: more than one role
    per_second: float | None  # its unit; None: not a unit of time
    unit_stated: bool


class Span(NamedTuple):
    """A part of a recording in seconds; `end` None: up to its end."""

    start: float
    end: float | None
    used: frozenset[str]  # fields that stated it, except `offset` and `duration`


def read_span(fields: Mapping[str, Any]) -> Span:
    """Return the span of a line. Raises EntryError (`bad_field`)."""
    offset = read_seconds(fields.get("offset"), "offset")
    duration = read_seconds(fields.get("duration"), "duration")
    if offset is not None and duration is not None and "onset" not in fields:
        return _checked(offset, offset + duration, frozenset())
    stated: dict[str, tuple[str, float]] = {}
    for key, role, time in _statements(fields):
        other, known = stated.setdefault(role, (key, time))
        if abs(known - time) > _AGREE_S:
            _refuse(f"{other} and {key} disagree: {known:g} s and {time:g} s")
    used = frozenset(key for key, _ in stated.values()) - {"offset", "duration"}
    start, end, duration = (stated.get(r, ("", None))[1] for r in ("start", "end", "duration"))
    if end is None:
        start = start or 0.0
        return _checked(start, None if duration is None else start + duration, used)
    if start is None:
        start = 0.0 if duration is None else end - duration
        start = 0.0 if -_AGREE_S < start < 0 else start
    elif duration is not None and abs(end - start - duration) > _AGREE_S:
        _refuse(f"{start:g} s to {end:g} s do not make the stated duration of {duration:g} s")
    return _checked(start, end, used)


def _checked(start: float, end: float | None, used: frozenset[str]) -> Span:
    if start < 0:
        _refuse(f"offset is negative: {start:g} s")
    # Each end is rounded by itself, so that spans that touch still do.
    if end is not None and round(end * 1000) <= round(start * 1000):
        _refuse(f"duration must be above 0: {end - start:g} s")
    return Span(start, end, used)


def _statements(fields: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield (field, role, seconds) of all fields about the span. Raises EntryError."""
    found = [(key, value, meaning) for key, value in fields.items() if (meaning := _meaning(key))]
    found = [one for one in found if not is_missing(one[1]) and not _is_other(*one[:2])]
    roles = {meaning.role for _, _, meaning in found}
    for key, value, (role, per_second, unit_stated) in found:
        if key == "offset" and any("onset" in words_of_key(other) for other in fields):
            role = "end"  # lists of sound events call start and end onset and offset
        if role == "length":
            # It may be that of the text, or of the file in samples. With a start it is the span's.
            if "duration" in roles:
                continue
            if not unit_stated and "start" not in roles:
                _refuse(f"is {key} the length of the span? remedy: say duration, in seconds")
            role = "duration"
        if role is None or per_second is None:
            _refuse(f"{key} seems to say which span it is about; remedy: offset and duration in s")
        yield key, role, seconds(value, key) / per_second
    for key, value in fields.items():
        if _is_pair(key, value):
            yield key, "start", seconds(value[0], key)
            yield key, "end", seconds(value[1], key)


def _is_other(key: str, value: Any) -> bool:
    """Whether a value is not a time in the recording: a date, or who speaks to whom."""
    if not isinstance(value, str):
        return False
    return bool(_DATE.match(value)) or words_of_key(key) in (("from",), ("to",))


def _is_pair(key: str, value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not _PAIRS.issuperset(words_of_key(key)):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)


@cached_by_text
def _meaning(key: str) -> _Meaning | None:
    """Return the meaning of a field by its name, None if it is not about a span."""
    words = words_of_key(key)
    roles = {_ROLES[word] for word in words if word in _ROLES}
    others = {word for word in words if word not in _ROLES}
    units = others & (_SECONDS | _MILLISECONDS | _OTHER_UNITS)
    about = others - units
    if not roles or not about <= _PART | _FILE or len(units) > 1:
        return None
    if about & _FILE and roles <= {"duration", "length"}:  # of the file, not of the span
        return None
    per_second = 1.0 if units <= _SECONDS else 1000.0 if units <= _MILLISECONDS else None
    return _Meaning(roles.pop() if len(roles) == 1 else None, per_second, bool(units))


def _refuse(message: str) -> NoReturn:
    raise EntryError(Reason.BAD_FIELD, message)
