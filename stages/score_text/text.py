"""Statistics of a text that tell speech from what a transcriber makes up."""

from __future__ import annotations

import re
import zlib

# Scripts written without spaces, whose characters count as one word each: Han, kana, Hangul.
_UNSPACED = (
    "\u3040-\u30ff"  # hiragana, katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7af"  # Hangul: spaced, but a syllable weighs as much as a word
    "\U00020000-\U0003134f"  # Han, rare
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}_]+(?:['’\-][^\W{_UNSPACED}_]+)*")


def words_of(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation.

    A Chinese, Japanese or Korean character is a word, so words per second are comparable.
    """
    return _WORD.findall(text.lower())


def character_count(text: str) -> int:
    """Return the number of characters of `text` that are not white space."""
    return sum(not character.isspace() for character in text)


def repeated_ngram_ratio(words: list[str], n: int) -> float:
    """Return the share of n-grams that occurred before in `words`, 0 to 1; 0 if there are none."""
    ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1.0 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def compression_ratio(text: str) -> float | None:
    """Return bytes of UTF-8 over bytes after zlib, as Whisper does; None for an empty text."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else None
