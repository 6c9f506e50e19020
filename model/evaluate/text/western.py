"""Whisper's normalisers of English and of every other language."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache


@lru_cache
def _english() -> Callable[[str], str]:
    from whisper.normalizers import EnglishTextNormalizer

    return EnglishTextNormalizer()


@lru_cache
def _basic() -> Callable[[str], str]:
    from whisper.normalizers import BasicTextNormalizer

    return BasicTextNormalizer()


def normalize_english(text: str) -> str:
    """Return `text` with contractions, titles, spelling and numbers in one form."""
    return _english()(text)


def normalize_basic(text: str) -> str:
    """Return `text` in lower case, without bracketed remarks, symbols and combining marks."""
    return _basic()(text)
