"""The language of a response (langdetect), its sentences and capital words (NLTK)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from wavemill.model.evaluate.ifeval.instruction import Unscored
from wavemill.model.evaluate.scoring import Mode, missing

SEED = 0  # langdetect draws samples of the text
CODES = frozenset(
    {"en", "es", "pt", "ar", "hi", "fr", "ru", "de", "ja", "it", "bn", "uk", "th", "ur", "ta", "te"}
    | {"bg", "ko", "pl", "he", "fa", "vi", "ne", "sw", "kn", "mr", "gu", "pa", "ml", "fi"}
)
"""Codes of the published table; `zh` is not among them."""
ALSO = {"zh": ("zh-cn", "zh-tw"), "no": ("no",), "nb": ("no",), "iw": ("he",)}
"""What langdetect calls a language, if that is not its code."""


@lru_cache
def _factory() -> Any:
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError as error:
        raise missing("langdetect", "checking the language of a response") from error
    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(SEED)
    return factory


def is_language(text: str, code: str, mode: Mode = "default") -> bool:
    """Return whether `text` is in the language `code` (ISO 639-1); True if none is recognised.

    Raises Unscored for an unknown code.
    """
    from langdetect.lang_detect_exception import LangDetectException

    factory = _factory()
    known = CODES if mode == "compat" else {*factory.langlist, *ALSO}
    if code not in known:
        raise Unscored(f"language {code!r} is not known")
    if mode == "default" and code == "zh" and _is_chinese(text):
        return True
    detector = factory.create()
    detector.append(text)
    try:
        found = detector.detect()
    except LangDetectException:
        return True
    return found in (code, *(ALSO.get(code, ()) if mode == "default" else ()))


def _is_chinese(text: str) -> bool:
    """Recognise Chinese by its script: langdetect takes short Chinese sentences for Korean."""
    letters = [c for c in text if c.isalpha()]
    han = sum("\u3400" <= c <= "\u9fff" for c in letters)
    return han * 2 > len(letters) and not any("\u3040" <= c <= "\u30ff" for c in letters)


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
    """Return whether NLTK's data for English sentences is installed."""
    try:
        _nltk().data.find("tokenizers/punkt_tab/english/")
    except LookupError:
        return False
    return True


def count_sentences(text: str) -> int:
    """Return the number of sentences. Raises Unscored if punkt is not installed."""
    if not has_punkt():
        raise Unscored(NEEDS_PUNKT)
    return len(_nltk().sent_tokenize(text))


def capital_words(text: str) -> int:
    """Return the number of words in capitals; parts of a contraction are words (DO, N'T).

    Raises Unscored if punkt is not installed and the text may be more than one sentence.
    """
    if has_punkt():
        words = _nltk().word_tokenize(text)
    elif ENDS_INSIDE.search(text):
        raise Unscored(NEEDS_PUNKT)
    else:
        words = _nltk().word_tokenize(text, preserve_line=True)
    return sum(word.isupper() for word in words)
