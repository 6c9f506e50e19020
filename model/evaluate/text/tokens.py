"""Cutting normalised text into the tokens that are compared."""

from __future__ import annotations

import re
import unicodedata

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
    """Return Han characters one by one, other words whole; punctuation is dropped, case folded.

    Source: `tokenizer` cases of asr/normalizer_cases.json (the rules of SacreBLEU's `zh`).
    """
    text = ALONE.sub(r" \1 ", text.strip())
    for pattern, spaced in SPLITS:
        text = pattern.sub(spaced, text)
    words = " ".join(word for word in text.split() if not _is_punctuation(word))
    return words.lower().split()


def _is_punctuation(word: str) -> bool:
    return all(unicodedata.category(c).startswith("P") for c in word)
