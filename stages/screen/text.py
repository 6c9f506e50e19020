"""What of a written message cannot be spoken: counts, without any model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_FENCE = re.compile(r"^\s*(```|~~~)", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_CODE_SIGNS = re.compile(r"[{};<>\[\]=]|\(\)|->|::|\\")
_CODE_LINE = re.compile(
    r"^\s*(def \w+\(|class \w+[:(]|import \w|from \w+ import|#include|public |return "
    r"|SELECT .+ FROM"
    r"|function \w*\(|(const|let|var) \w+ =|<\/?[a-z]+[ >]|\w+\(.*\);|[{}]\s*$)",
    re.MULTILINE,
)
_TABLE_ROW = re.compile(r"^\s*\|?[^|\n]+\|[^|\n]+(\|[^|\n]*)+$|^[^\t\n]+\t[^\t\n]+\t", re.MULTILINE)
_LATEX = re.compile(
    r"\\(frac|sqrt|sum|int|begin|left|right|cdot|times|alpha|beta|pi|infty|text|mathbb|leq|geq)\b"
    r"|\\[\[(]|\$\$|\$[^$\n]*[\\^_{}][^$\n]*\$"
)
_FORMULA = re.compile(r"[\w)]\s*[\^_]\s*[{(\w]|(\w\s*[-+*/=]\s*){4,}\w")
_URL = re.compile(r"https?://|www\.\w|\b[\w.+-]+@[\w-]+\.\w{2,}", re.IGNORECASE)
_LIST_ITEM = re.compile(r"\s*([-*•+]|\d{1,2}[.)])\s+\S")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# The commonest words of English that are no common words of its neighbours.
_COMMON = (
    "the of and to is that it for was with as be this have from or had by but what were when "
    "we there can an your which their said if will each about how up out them then she many "
    "some so these would other into has more her two like him see could no make than been "
    "its who now people my made over did down only way find use may you are they at not i "
    "his one all do does why where please tell me give explain write any because it's i'm "
    "don't you're"
)
_ENGLISH = frozenset(_COMMON.split())


def code_places(text: str) -> int:
    """Return how many blocks and lines look like code."""
    inline = sum(1 for code in _INLINE.findall(text) if _CODE_SIGNS.search(code))
    return len(_FENCE.findall(text)) + inline + len(_CODE_LINE.findall(text))


def table_rows(text: str) -> int:
    return len(_TABLE_ROW.findall(text))


def formulas(text: str) -> int:
    return len(_LATEX.findall(text)) + len(_FORMULA.findall(_URL.sub(" ", text)))


def urls(text: str) -> int:
    return len(_URL.findall(text))


def longest_list(text: str) -> int:
    """Return the number of items of the longest list; blank lines may stand between items."""
    longest = current = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        current = current + 1 if _LIST_ITEM.match(line) else 0
        longest = max(longest, current)
    return longest


def foreign_letters(texts: Sequence[str]) -> float:
    """Return the share of letters that are not of the Latin script; 0 without letters."""
    letters = [char for text in texts for char in text if char.isalpha()]
    foreign = sum(1 for char in letters if not char.isascii() and not _is_latin(char))
    return foreign / len(letters) if letters else 0.0


def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith("LATIN")


def symbols(texts: Sequence[str]) -> float:
    """Return the share of characters that nobody speaks: emoji, boxes, arrows, markup."""
    whole = "".join(texts)
    spoken = "£€¥₹°²³½¼¾×÷±≈≤≥≠−"
    odd = sum(1 for c in whole if not c.isascii() and c not in spoken and _is_symbol(c))
    return odd / len(whole) if whole else 0.0


def _is_symbol(char: str) -> bool:
    return unicodedata.category(char)[0] in "SC"


def english_words(texts: Sequence[str], least: int) -> float | None:
    """Return the share of words that are common English ones; None below `least` words."""
    words = [word.lower() for text in texts for word in _WORD.findall(text)]
    if len(words) < least:
        return None
    return sum(1 for word in words if word.replace("’", "'") in _ENGLISH) / len(words)
