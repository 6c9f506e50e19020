"""The published toolkit's way from an utterance to tokens (mode `compat`)."""

from __future__ import annotations

from wavemill.model.evaluate.text.cleaning import clean
from wavemill.model.evaluate.text.mandarin import normalize_mandarin
from wavemill.model.evaluate.text.simplified import simplify
from wavemill.model.evaluate.text.tokens import published_tokens
from wavemill.model.evaluate.text.western import normalize_basic, normalize_english


def normalize(text: str, language: str) -> str:
    """Return cleaned `text` in the form that is cut into tokens."""
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
