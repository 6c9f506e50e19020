"""The report's punctuation of Mandarin (section 3.1): marks where the speaker pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from wavemill.stages.transcribe.engine import Word

COMMA, FULL_STOP = "，", "。"


def mark_of_gap(gap_ms: int, comma_gap_ms: int, full_stop_gap_ms: int) -> str:
    """Return the mark for a pause between two characters, or "".

    Report: "more than 0.5 s and less than 1.0 s" gives a comma, "more than 1.0 s" a full stop. So
    a pause of exactly `comma_gap_ms` gives nothing. Exactly `full_stop_gap_ms`, which the report
    leaves open, gives a full stop: a longer pause never gives a weaker mark.
    """
    if gap_ms >= full_stop_gap_ms:
        return FULL_STOP
    return COMMA if gap_ms > comma_gap_ms else ""


def punctuated(
    characters: Sequence[Word], comma_gap_ms: int, full_stop_gap_ms: int
) -> tuple[Word, ...]:
    """Return the characters (or foreign words among them), each with the mark that follows it.

    The pause is from the end of one to the start of the next. The last one gets a full stop: a
    segment ends where a speaker stops or pauses (but for those cut at the greatest length).
    """
    marks = [
        mark_of_gap(after.start_ms - before.end_ms, comma_gap_ms, full_stop_gap_ms)
        for before, after in pairwise(characters)
    ]
    followed = zip(characters, [*marks, FULL_STOP], strict=False)  # no mark without characters
    return tuple(replace(one, word=one.word + mark) for one, mark in followed)


def joined(words: Sequence[Word]) -> str:
    """Return the text: Chinese without spaces, a space between two Latin words or numbers."""
    text = ""
    for one in words:
        between = " " if text and _spaced(text[-1]) and _spaced(one.word[0]) else ""
        text += between + one.word
    return text


def _spaced(character: str) -> bool:
    return character.isascii() and character.isalnum()
