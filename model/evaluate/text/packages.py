"""Normalisers of other packages: Whisper's for English and other languages, OpenCC for Chinese."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from wavemill.model.evaluate.scoring import missing


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
    """Return `text` in lower case without bracketed remarks, symbols and combining marks."""
    return _basic()(text)


@lru_cache
def _converter() -> Any:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise missing("opencc", "simplifying Chinese text") from error
    return OpenCC("t2s")


def simplify(text: str) -> str:
    """Return `text` in simplified Chinese characters; text without Han is unchanged.

    Raises EvaluationError if OpenCC is not installed.
    """
    return _converter().convert(text) if any("\u3400" <= c <= "\u9fff" for c in text) else text
