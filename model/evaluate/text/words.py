"""From an utterance to tokens as we think right (mode `default`).

What differs from the published way, and why, stands in docs/evaluation.md.
"""

from __future__ import annotations

import re
import unicodedata

from wavemill.model.evaluate.text.cleaning import TAG
from wavemill.model.evaluate.text.numerals import unify_numbers
from wavemill.model.evaluate.text.simplified import simplify
from wavemill.model.evaluate.text.western import normalize_english

BY_CHARACTER = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
"""Languages written without blanks: their rate is of characters (CER), as Whisper reports them."""

OPTIONAL_MARKS = frozenset({"ar", "fa", "ur", "he"})
"""Languages whose vowel signs are mostly left out in writing."""

BRACKETED = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
IN_PARENTHESES = re.compile(r"\([^()]+\)")
APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "\u200b": "", "\ufeff": ""})
SPELLING = {
    "de": {"ß": "ss"},
    "fr": {"œ": "oe"},
    "ru": {"ё": "е"},
    "tr": {"i̇": "i"},
}
MONEY = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
PAID = re.compile(r"([¥$€£])\s*([0-9][0-9,]*(?:\.[0-9]+)?[万亿]?)")
CLOCK = re.compile(r"(?<![0-9:])([0-9]{1,2}):([0-9]{2})(?![0-9:])")
BELOW_ZERO = re.compile(r"(?<![\w)])[-−](?=[0-9])")
SHORT = re.compile(r"\s+(?='(?:s|d|m|t|ll|re|ve)\b)")
SPELT = re.compile(r"(?<![a-z])[a-z](?: [a-z])+(?![a-z])")
CHARACTERS = re.compile(r"[a-z\u00c0-\u024f]+|\S")  # a Latin word, or any one character

SAID = (  # symbols of English text that its normaliser would drop, as they are said
    (BELOW_ZERO, "minus "),
    (re.compile(r"(?<![\w+])\+\s*(?=[0-9])|(?<=[0-9])\s*\+\s*(?=[0-9])"), " plus "),
    (re.compile(r"\s*=\s*(?=[0-9])"), " equals "),
    (re.compile(r"(?<=[0-9])\s*¢"), " cents"),
    (re.compile(r"(?<=[0-9])\s+%"), "%"),
    (re.compile(r"\bcannot\b", re.IGNORECASE), "can not"),
)


def rate_name(language: str) -> str:
    """Return "cer" for a language whose tokens are characters, otherwise "wer"."""
    return "cer" if language in BY_CHARACTER else "wer"


def words(text: str, language: str) -> list[str]:
    """Return the tokens of an utterance: characters or words, see `rate_name`.

    Raises EvaluationError where Chinese text needs OpenCC and it is not installed.
    """
    text = BRACKETED.sub(" ", TAG.sub(" ", text.translate(APOSTROPHES)))
    if language == "en":
        return _english(text)
    if language in ("zh", "yue"):
        return _chinese(text)
    text = IN_PARENTHESES.sub(" ", unicodedata.normalize("NFKC", text))
    text = text.replace("I", "ı") if language == "tr" else text
    text = text.lower()
    for old, new in SPELLING.get(language, {}).items():
        text = text.replace(old, new)
    if language in OPTIONAL_MARKS:
        text = "".join(c for c in text if not unicodedata.category(c).startswith("M"))
    text = _without_symbols(text)
    return CHARACTERS.findall(text) if language in BY_CHARACTER else text.split()


def _english(text: str) -> list[str]:
    for symbol, spoken in SAID:
        text = symbol.sub(spoken, text)
    text = normalize_english(text)
    text = re.sub(r"([\u3040-\u30ff\u3400-\u9fff])", r" \1 ", text)
    return [word for word in text.lower().split() if any(c.isalnum() for c in word)]


def _chinese(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text.replace("℃", "摄氏度"))
    text = SHORT.sub("", simplify(text).lower()).replace("'", "")
    text = PAID.sub(lambda m: m[2] + MONEY[m[1]], text)
    text = unify_numbers(BELOW_ZERO.sub("负", CLOCK.sub(r"\1点\2分", text)))
    text = " ".join(_without_symbols(text, keep="%/").split())
    text = SPELT.sub(lambda m: m[0].replace(" ", ""), text)
    return CHARACTERS.findall(text)


def _without_symbols(text: str, keep: str = "") -> str:
    return "".join(
        " " if unicodedata.category(c)[0] in "PSZ" and c not in keep else c for c in text
    )
