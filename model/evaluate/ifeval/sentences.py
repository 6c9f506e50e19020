"""Sentences and capital words, as NLTK counts them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from wavemill.model.evaluate.errors import missing
from wavemill.model.evaluate.ifeval.instruction import Unscored

NEEDS_PUNKT = "needs punkt: python -m nltk.downloader punkt_tab"
ENDS_INSIDE = re.compile(r"[.!?…]\W*\s\W*\w")


@lru_cache
def _nltk() -> Any:
    try:
        import nltk
    except ImportError as error:
        raise missing("nltk", "counting words and sentences") from error
    return nltk


def has_punkt() -> bool:
    """Tell whether NLTK's data for finding sentences in English is there."""
    try:
        _nltk().data.find("tokenizers/punkt_tab/english/")
    except LookupError:
        return False
    return True


def count_sentences(text: str) -> int:
    """Return the number of sentences. Raises Unscored where punkt is not there."""
    if not has_punkt():
        raise Unscored(NEEDS_PUNKT)
    return len(_nltk().sent_tokenize(text))


def capital_words(text: str) -> int:
    """Return the number of words in capitals; parts of a contraction are words (DO, N'T).

    Raises Unscored where punkt is not there and the text may be more than one sentence.
    """
    if has_punkt():
        words = _nltk().word_tokenize(text)
    elif ENDS_INSIDE.search(text):
        raise Unscored(NEEDS_PUNKT)
    else:
        words = _nltk().word_tokenize(text, preserve_line=True)
    return sum(word.isupper() for word in words)
