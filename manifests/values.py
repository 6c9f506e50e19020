"""Reading values of manifest fields as tools write them: pandas, spreadsheets, others."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from wavemill.manifests.reasons import EntryError, Reason

T = TypeVar("T")

# What pandas and other tools write for a missing value; in a text only what nobody would say.
_NO_NAME = frozenset({"nan", "none", "null", "<na>", "n/a", "#n/a", "nat"})
_NO_ANSWER = frozenset({"nan", "NaN", "<NA>"})
_NO_TEXT = _NO_ANSWER | {"None"}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# `0,5` as spreadsheets write it in much of Europe; `1,234` could be a thousand.
_COMMA_NUMBER = re.compile(r"[+-]?(0,\d+|\d+,(\d{1,2}|\d{4,}))", re.ASCII)
_CLOCK = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)", re.ASCII)
_MAX_NAME = 100
_MAX_NUMBER = 64  # characters
# Far above any recording, and small enough for milliseconds in 64 bits.
_MAX_SECONDS = 1e12
_INFINITE = (math.inf, -math.inf)
_MAX_EXACT = 2.0**53  # a float holds all integers up to here
_WORD = re.compile(r"[A-Z]?[^\W_A-Z]+|[A-Z]+(?![^\W_A-Z])")


def cached_by_text(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache the results of a function for short texts, such as names.

    Long texts, which come from damaged files, would fill the memory.
    """
    cached = lru_cache(maxsize=4096)(function)
    return lambda text: cached(text) if len(text) <= _MAX_NAME else function(text)


@cached_by_text
def words_of_key(key: str) -> tuple[str, ...]:
    """Return the words of a field's name in small letters: `Audio_FilePath` is audio, file, path.

    Letters of one case, digits with them, are one word: `audio_filepath` is audio, filepath.
    """
    return tuple(word.lower() for word in _WORD.findall(key))


def is_missing(value: Any) -> bool:
    """Whether the value of a field that is not a text means that it is missing."""
    if isinstance(value, str):
        short = value.strip()
        return not short or short == "NA" or short.lower() in _NO_NAME
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_text(value: Any, name: str) -> str | None:
    """Return a text as it is, a number as it is written, and None for a missing value.

    Raises EntryError (`bad_field`).
    """
    return _as_text(value, name, _NO_TEXT)


def read_answer(value: Any, name: str) -> str | None:
    """Return what `read_text` returns, but "None" is an answer."""
    return _as_text(value, name, _NO_ANSWER)


def read_name(value: Any, name: str) -> str | None:
    """Return a name, for example of a person or a licence: 12 and 12.0 are "12".

    Raises EntryError (`bad_field`).
    """
    return None if is_missing(value) else _as_text(value, name, _NO_NAME)


def _as_text(value: Any, name: str, absent: frozenset[str]) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in _INFINITE:
        # A list may hold what was said, which the errors table should not repeat.
        given = f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(value)
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a text, not {given:.80}")
    if isinstance(value, str):
        return value if value.strip() and value.strip() not in absent else None
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_EXACT:
        return str(int(value))  # pandas turns integers into floats if some are missing
    return str(value)


def read_seconds(value: Any, name: str) -> float | None:
    """Return a time in seconds, None if it is missing. Raises what `seconds` raises."""
    return None if is_missing(value) else seconds(value, name)


def seconds(value: Any, name: str) -> float:
    """Return a JSON value as finite seconds: a number, one in a text, or hours:minutes:seconds.

    Raises EntryError (`bad_field`) naming the field.
    """
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a number of seconds, not {value!r:.80}")
    if not -_MAX_SECONDS <= number <= _MAX_SECONDS:  # NaN, too, and what no float can hold
        raise EntryError(Reason.BAD_FIELD, f"{name} is out of range")
    return float(number)


def _number(text: str) -> float | None:
    text = text.strip()
    if len(text) > _MAX_NUMBER:
        return None
    if _COMMA_NUMBER.fullmatch(text):
        text = text.replace(",", ".")
    if _NUMBER.fullmatch(text):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return None
    hours, minutes, rest = clock.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
