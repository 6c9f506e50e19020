"""How far what was heard is from what was to be said, whichever way numbers are written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from wavemill.stages.rewrite.markdown import plain
from wavemill.stages.rewrite.words import spoken

_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_UNITS = _BELOW_TWENTY.split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SAME = {"ok": "okay", "alright": "all right", "mr": "mister", "dr": "doctor", "mrs": "missus"}
# British spellings as the transcriber writes them.
_SPELLINGS = ((re.compile(r"(?<=[a-z]{2})our(?=(?:s|ed|ing|ful|ite|able)?$)"), "or"),
              (re.compile(r"(?<=[a-z]{3})is(?=(?:e|es|ed|ing|ation|ations)$)"), "iz"),
              (re.compile(r"(?<=[a-z]{3})tre(?=s?$)"), "ter"))  # fmt: skip
_JOINING = frozenset({"point", "oh", "o", "and"})  # within a number they are no words of their own


def normalised(text: str) -> list[str]:
    """Return the words of a text in small letters, each run of number words as its digits.

    So "seven thirty", "7:30" and "730" are the same, and "twenty first" is "21st".
    """
    said = spoken(plain(text)).lower()
    folded = unicodedata.normalize("NFKD", said).encode("ascii", "ignore").decode()
    words = [_SAME.get(word, word) for word in _WORD.findall(folded.replace("-", " "))]
    found = _with_digits([part for word in words for part in word.split()])
    for pattern, american in _SPELLINGS:
        found = [pattern.sub(american, word) for word in found]
    return found


def word_errors(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of words to replace, insert or delete.

    Two words that are heard as one ("sea shells", "seashells"), or one as two, are no error.
    """
    rows = [list(range(len(heard) + 1))]
    for i, want in enumerate(wanted, start=1):
        row = [i]
        for j, got in enumerate(heard, start=1):
            best = min(rows[i - 1][j - 1] + (want != got), rows[i - 1][j] + 1, row[j - 1] + 1)
            if i > 1 and wanted[i - 2] + want == got:
                best = min(best, rows[i - 2][j - 1])
            if j > 1 and heard[j - 2] + got == want:
                best = min(best, rows[i - 1][j - 2])
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _with_digits(words: list[str]) -> list[str]:
    found: list[str] = []
    run: list[str] = []
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if (
            _value(word) is not None
            or (word in _SCALES and run)
            or (word in _JOINING and run and _value(following) is not None)
        ):
            run.append(word)
        else:
            found += _digits(run)
            run = []
            found.append(word)
    return found + _digits(run)


def _value(word: str) -> int | None:
    """Return the number that a word is, below 100, or that its digits are."""
    if word.isdigit():
        return int(word)
    if word in _UNITS:
        return _UNITS.index(word)
    if word in _TENS:
        return 20 + 10 * _TENS.index(word)
    if word in _ORDINALS:
        return _ORDINALS[word]
    if word.endswith("ieth") and word[:-4] + "y" in _TENS:
        return _value(word[:-4] + "y")
    if word.endswith("th") and word[:-2] in _UNITS:
        return _UNITS.index(word[:-2])
    return None


def _digits(run: Sequence[str]) -> list[str]:
    """Return a run of number words as one word of digits: parts that do not add up side by side."""
    if not run:
        return []
    parts: list[str] = []
    total = current = None
    for word in run:
        if word in _JOINING:
            continue
        if word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                current = (current or 1) * 100
            else:
                total, current = (total or 0) + (current or 1) * scale, None
            continue
        value = _value(word) or 0
        fits = current is not None and (
            (current % 100 == 0 and current > 0 and value < 100)
            or (current % 100 >= 20 and current % 10 == 0 and 0 < value < 10)
        )
        if current is None and (total is None or value < 1000):
            current = value
        elif fits and current is not None:
            current += value
        else:
            parts.append(str((total or 0) + (current or 0)))
            total, current = None, value
    parts.append(str((total or 0) + (current or 0)))
    return ["".join(parts)]
