"""From an utterance to tokens as the published toolkit compares them (mode `compat`)."""

from __future__ import annotations

import re
import unicodedata

from wavemill.model.evaluate.text.mandarin import normalize_mandarin
from wavemill.model.evaluate.text.packages import normalize_basic, normalize_english, simplify


def normalize(text: str, language: str) -> str:
    """Return cleaned `text` in the form that is split into tokens."""
    if language == "zh":
        return normalize_mandarin(text)
    if language == "yue":
        text = simplify(text)
    if language == "en":
        text = normalize_english(text)
    return normalize_basic(text)


def tokens(text: str, language: str) -> list[str]:
    """Return the tokens of an utterance. Source: asr/wer_cases.json."""
    return published_tokens(normalize(clean(text, language), language))


TAG = re.compile(r"<\|.*?\|>")
"""A special token that a model wrote in its answer, such as <|en|>."""

BLANKS = re.compile(r"\s+")
BLANK_BEFORE_STOP = re.compile(r" ?([!,.?;:])")


def clean(text: str, language: str) -> str:
    """Return `text` without tags and unnecessary blanks; for `zh` without any blanks.

    Source: `remove_sp` cases of asr/normalizer_cases.json.
    """
    text = BLANKS.sub(" ", TAG.sub(" ", text))
    text = BLANK_BEFORE_STOP.sub(r"\1", text).lstrip(" ")
    return BLANKS.sub("", text) if language == "zh" else text


ALONE = re.compile(
    # Han with its extensions, symbols and full-width forms; U+2001 to U+2A6D entered the published
    # list by a slip in writing the rare Han of plane 2, and takes symbols such as ℃ with it
    "([\u2001-\u2a6d\u2e80-\u303f\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef\u3200-\u33ff\u3400-\u4db5"
    "\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef])"
)
SPLITS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),  # ASCII symbols, but not ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def published_tokens(text: str) -> list[str]:
    """Return each Han character and each other word, in lower case; punctuation is dropped.

    Source: `tokenizer` cases of asr/normalizer_cases.json (the rules of SacreBLEU's `zh`).
    """
    text = ALONE.sub(r" \1 ", text.strip())
    for pattern, spaced in SPLITS:
        text = pattern.sub(spaced, text)
    words = " ".join(word for word in text.split() if not _is_punctuation(word))
    return words.lower().split()


def _is_punctuation(word: str) -> bool:
    return all(unicodedata.category(c).startswith("P") for c in word)
