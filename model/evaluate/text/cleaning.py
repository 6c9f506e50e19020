"""The first clean-up of a transcript: special tokens and blanks."""

from __future__ import annotations

import re

TAG = re.compile(r"<\|.*?\|>")
"""A special token that a model left in its answer, such as <|en|>."""

BLANKS = re.compile(r"\s+")
BLANK_BEFORE_STOP = re.compile(r" ?([!,.?;:])")


def clean(text: str, language: str) -> str:
    """Return `text` without tags and needless blanks; for `zh` without any blank.

    Source: `remove_sp` cases of asr/normalizer_cases.json.
    """
    text = BLANKS.sub(" ", TAG.sub(" ", text))
    text = BLANK_BEFORE_STOP.sub(r"\1", text).lstrip(" ")
    return BLANKS.sub("", text) if language == "zh" else text
