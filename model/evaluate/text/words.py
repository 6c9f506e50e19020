"""From an utterance to tokens as mode `default` compares them.

docs/evaluation.md says what differs from the published way, and why. Numbers in Chinese text are
written in one form, so that 一百二十 and 120 are equal. Several spellings have one value, but one
spelling has several readings (12345 is 一万两千三百四十五 or 一二三四五): therefore Han characters
become digits, and not the other way round.
"""

from __future__ import annotations

import re
import unicodedata

from wavemill.model.evaluate.text.packages import normalize_english, simplify
from wavemill.model.evaluate.text.published import TAG

BY_CHARACTER = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
"""Languages written without blanks: their error rate is of characters (CER), as for Whisper."""

OPTIONAL_MARKS = frozenset({"ar", "fa", "ur", "he"})
"""Languages that are mostly written without their vowel signs."""

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
    """Return "cer" for a language whose tokens are characters, and "wer" for others."""
    return "cer" if language in BY_CHARACTER else "wer"


def words(text: str, language: str) -> list[str]:
    """Return the tokens of an utterance: characters or words, see `rate_name`.

    Raises EvaluationError if Chinese text needs OpenCC and it is not installed.
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


HAN_DIGITS = dict(zip("零〇一二三四五六七八九两幺", (0, *range(10), 2, 1), strict=True))
SMALL = {"十": 10, "百": 100, "千": 1000}
LARGE = {"万": 10**4, "亿": 10**8}

DIGIT = f"[0-9{''.join(HAN_DIGITS)}]"
RUN = re.compile(f"[0-9{''.join(HAN_DIGITS)}十百千万亿]+")
SCALED = re.compile(f"({DIGIT}+)点({DIGIT}+)([万亿])")
PIECE = re.compile("[0-9]+|.")
PERCENT = re.compile(r"百分之([0-9]+(?:点[0-9]+)?)")
FRACTION = re.compile(r"([0-9]+)分之([0-9]+)")


def _as_digits(text: str) -> str:
    return "".join(str(HAN_DIGITS.get(c, c)) for c in text)


def value_of(run: str) -> int | None:
    """Return the value of a number with units such as 两千零五; None if it is not a number (万一).

    A last digit without 零 stands for the next lower unit, as in 一百五 (150).
    """
    total = section = 0
    digit: int | None = None
    last, zero = 1, False
    for piece in PIECE.findall(run):
        if piece in LARGE:
            section += digit or 0
            if not section and not total:
                return None
            if LARGE[piece] > 10**4:
                total, section = (total + section) * LARGE[piece], 0
            else:
                total, section = total + section * LARGE[piece], 0
            digit, last, zero = None, LARGE[piece], False
        elif piece in SMALL:
            if digit is None and (piece != "十" or section):
                return None
            section += (1 if digit is None else digit) * SMALL[piece]
            digit, last, zero = None, SMALL[piece], False
        elif digit:
            return None  # 一二十
        else:
            digit, zero = int(_as_digits(piece)), zero or piece in "零〇"
    if digit and last >= 100 and not zero and digit < 10:
        digit *= last // 10
    return total + section + (digit or 0)


def _shortest(value: int) -> str:
    """Write round numbers with 万 and 亿, so that zeros do not outweigh the words."""
    for unit in ("亿", "万"):
        if value and value % LARGE[unit] == 0:
            return f"{value // LARGE[unit]}{unit}"
    return str(value)


def _read(match: re.Match[str]) -> str:
    run = match[0]
    if not any(c in SMALL or c in LARGE for c in run):
        digits = _as_digits(run)
        return digits if digits.startswith("0") else _shortest(int(digits))
    value = value_of(run)
    return run if value is None else _shortest(value)


def _scaled(match: re.Match[str]) -> str:
    whole, fraction = _as_digits(match[1]), _as_digits(match[2])
    value = int(whole + fraction) * LARGE[match[3]]
    exact, rest = divmod(value, 10 ** len(fraction))
    return match[0] if rest else str(exact)


def unify_numbers(text: str) -> str:
    """Return `text` with numbers in digits, 点 as the decimal point, `%` and `a/b`."""
    text = re.sub(r"(?<=[0-9])\.(?=[0-9])", "点", text)
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text)
    text = text.replace("百分之百", "百分之一百")
    text = RUN.sub(_read, SCALED.sub(_scaled, text))
    return FRACTION.sub(r"\2/\1", PERCENT.sub(r"\1%", text))
